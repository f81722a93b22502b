module mpm-operator.test/netdata-apache

go 1.24

require github.com/netdata/go.d.plugin v0.58.1

require (
	github.com/lmittmann/tint v1.0.4 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	golang.org/x/sys v0.16.0 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)

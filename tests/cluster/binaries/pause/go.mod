module mpm-operator.test/pause

go 1.24.0

// Netdata's apache collector without its agent: what it reads of one page, and the charts that it makes.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/netdata/go.d.plugin/modules/apache"
)

type chart struct {
	Title      string            `json:"title"`
	Dimensions map[string]string `json:"dimensions"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: netdata-apache URL")
		os.Exit(2)
	}
	collector := apache.New()
	collector.URL = os.Args[1]
	if !collector.Init() || !collector.Check() {
		fmt.Fprintln(os.Stderr, "the collector found nothing at", os.Args[1])
		os.Exit(1)
	}
	charts := map[string]chart{}
	for _, made := range *collector.Charts() {
		dimensions := map[string]string{}
		for _, dimension := range made.Dims {
			dimensions[dimension.ID] = dimension.Name
		}
		charts[made.ID] = chart{made.Title, dimensions}
	}
	found := map[string]any{"charts": charts, "values": collector.Collect()}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// writeText writes results as tables. Results with the same columns share one.
func writeText(w io.Writer, all []*result) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var last string
	for _, r := range all {
		if head := header(r); head != last {
			if last != "" {
				out.Flush()
				fmt.Fprintln(w)
			}
			fmt.Fprintln(out, head)
			last = head
		}
		for _, line := range r.Rows {
			fmt.Fprintf(out, "%s\t", r.Task)
			if r.Theory == "" {
				fmt.Fprintf(out, "%s\t", r.Size)
			}
			fmt.Fprint(out, line.Name)
			for i := range r.Columns {
				fmt.Fprintf(out, "\t%s", number(line.value(i)))
			}
			fmt.Fprintf(out, "\t%.2f", line.ratio(r.Rows[0]))
			if r.Theory != "" {
				fmt.Fprintf(out, "\t%s", r.Theory)
			}
			fmt.Fprintln(out)
		}
	}
	return out.Flush()
}

func header(r *result) string {
	columns := strings.Join(r.Columns, "\t")
	if r.Theory != "" {
		return "task\tsize\t" + columns + "\tratio\ttheory"
	}
	return "task\tpayload\tlibrary\t" + columns + "\tratio"
}

// number formats a measured number with three digits or as an integer.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

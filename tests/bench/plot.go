package main

import (
	"bytes"
	"fmt"
	"math"
)

const (
	plotLeft, plotRight = 250.0, 860.0
	plotWidth, barPitch = 940.0, 22.0
	plotLeast, plotMost = 1.0, 20000.0 // milliseconds, on a logarithmic scale
)

// across is where so many milliseconds are.
func across(ms float64) float64 {
	ms = min(max(ms, plotLeast), plotMost)
	return plotLeft + (plotRight-plotLeft)*math.Log(ms/plotLeast)/math.Log(plotMost/plotLeast)
}

// plot draws a bar up to the median, a whisker from p95 to the longest, and a tick at the floor.
func plot(all []*sum) []byte {
	all = shown(all)
	var out bytes.Buffer
	servers := map[string]bool{}
	for _, s := range all {
		servers[s.Server] = true
	}
	height := 70 + barPitch*float64(len(all)) + 34*float64(len(servers))
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">
<title>Time to the first acknowledged write elsewhere, by cause</title>
<style>
 text{fill:#24292f} .grid{stroke:#8c959f;stroke-opacity:.4} .bar{fill:#2f81f7} .local{fill:#1a7f64} .whisker{stroke:#57606a;stroke-width:1.5} .floor{stroke:#d1242f;stroke-width:2.5}
 @media (prefers-color-scheme: dark){text{fill:#e6edf3} .bar{fill:#539bf5} .local{fill:#3fb98f} .whisker{stroke:#adbac7} .floor{stroke:#ff7b72}}
</style>
`, plotWidth, height)
	bottom := height - 30
	for _, tick := range []float64{1, 10, 100, 1000, 10000} {
		x := across(tick)
		label := fmt.Sprintf("%.0f ms", tick)
		if tick >= 1000 {
			label = fmt.Sprintf("%.0f s", tick/1000)
		}
		fmt.Fprintf(&out, `<line class="grid" x1="%.1f" x2="%.1f" y1="28" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x, x, bottom, x, bottom+16, label)
	}
	fmt.Fprintf(&out, `<text x="%.0f" y="16">bar: median; whisker: p95 to the longest; tick: the floor; logarithmic</text>`+"\n", plotLeft)
	y, server := 34.0, ""
	for _, s := range all {
		if s.Server != server {
			server = s.Server
			fmt.Fprintf(&out, `<text x="8" y="%.1f" font-weight="bold" font-size="14">%s</text>`+"\n", y+20, map[string]string{"mariadb": "MariaDB", "mysql": "MySQL"}[server])
			y += 34
		}
		s.draw(&out, y)
		y += barPitch
	}
	fmt.Fprintln(&out, "</svg>")
	return out.Bytes()
}

func (s *sum) draw(out *bytes.Buffer, y float64) {
	agents := map[string]string{agentsAll: "one agent", agentsLocal: "local agents"}[s.Agents]
	writes := map[string]string{loadIdle: "idle", load500: "500/s"}[s.Load]
	fmt.Fprintf(out, `<text x="%.0f" y="%.1f" text-anchor="end">%s, %s, %s</text>`+"\n", plotLeft-8, y+12, s.name(), agents, writes)
	middle := y + 8
	if len(s.first) == 0 {
		fmt.Fprintf(out, `<text x="%.0f" y="%.1f">the role stays</text>`+"\n", plotLeft+8, y+12)
		return
	}
	class := "bar"
	if s.Agents == agentsLocal {
		class = "local"
	}
	p50, p95, longest := across(quantile(s.first, 0.5)), across(quantile(s.first, 0.95)), across(quantile(s.first, 1))
	fmt.Fprintf(out, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="14"/>`, class, plotLeft, y+1, p50-plotLeft)
	fmt.Fprintf(out, `<line class="whisker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, p50, longest, middle, middle)
	for _, x := range []float64{p95, longest} {
		fmt.Fprintf(out, `<line class="whisker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x, x, middle-4, middle+4)
	}
	end := longest
	if len(s.floor) > 0 {
		x := across(quantile(s.floor, 0.5))
		end = max(end, x)
		fmt.Fprintf(out, `<line class="floor" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x, x, y-1, y+17)
	}
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f">%s</text>`+"\n", end+6, y+12, figure(s.first, 0.5))
}

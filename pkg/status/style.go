package status

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Style is how the tree is drawn.
type Style struct {
	Colour bool
	// ASCII keeps to characters that every terminal has.
	ASCII bool
	// Width wraps lines, in columns; 0 leaves them as long as they are.
	Width int
}

// ColourMode is the choice that a person makes about colours.
type ColourMode string

// The modes; ColourAuto colours on a terminal that can show it.
const (
	ColourAuto   ColourMode = "auto"
	ColourAlways ColourMode = "always"
	ColourNever  ColourMode = "never"
)

// ChooseStyle reads mode and environment: NO_COLOR (no-color.org) when not
// empty and TERM=dumb turn colours off unless mode says always; a locale
// (LC_ALL, LC_CTYPE, LANG, the first that is set) without UTF-8 means ASCII.
func ChooseStyle(mode ColourMode, terminal bool, env func(string) string) (Style, error) {
	var s Style
	switch mode {
	case ColourAlways:
		s.Colour = true
	case ColourNever:
	case ColourAuto, "":
		s.Colour = terminal && env("NO_COLOR") == "" && env("TERM") != "dumb"
	default:
		return s, fmt.Errorf("read --color %q: want auto, always or never", string(mode))
	}
	locale := env("LC_ALL")
	if locale == "" {
		locale = env("LC_CTYPE")
	}
	if locale == "" {
		locale = env("LANG")
	}
	locale = strings.ToLower(locale)
	s.ASCII = !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
	return s, nil
}

type colour string

const (
	plainText colour = ""
	bold      colour = "1"
	faint     colour = "2"
	red       colour = "1;31"
	green     colour = "32"
	yellow    colour = "33"
)

type span struct {
	text   string
	colour colour
}

type line []span

func text(s string) line                   { return line{{text: s}} }
func (l line) add(c colour, s string) line { return append(l, span{s, c}) }

func (s Style) paint(l line) string {
	var b strings.Builder
	for _, sp := range l {
		if s.Colour && sp.colour != plainText && sp.text != "" {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", sp.colour, plain(sp.text))
		} else {
			b.WriteString(plain(sp.text))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// wrap breaks l at blanks so that no line is wider than width, where words allow.
func wrap(l line, width int) []line {
	if width <= 0 {
		return []line{l}
	}
	var out []line
	var cur line
	col := 0
	for _, sp := range l {
		for i, word := range strings.SplitAfter(sp.text, " ") {
			n := utf8.RuneCountInString(strings.TrimRight(word, " "))
			// A span may end within a word; only blanks are places to break.
			breakable := i > 0 || len(cur) > 0 && strings.HasSuffix(cur[len(cur)-1].text, " ")
			if breakable && col > 0 && col+n > width {
				out = append(out, cur)
				cur, col = nil, 0
			}
			if last := len(cur) - 1; last >= 0 && cur[last].colour == sp.colour {
				cur[last].text += word
			} else {
				cur = append(cur, span{word, sp.colour})
			}
			col += utf8.RuneCountInString(word)
		}
	}
	return append(out, cur)
}

type symbols struct {
	branch, last, bar, gap          string
	open, closed, down, none, alarm string
}

var (
	unicodeSymbols = symbols{"├─ ", "└─ ", "│  ", "   ", "●", "○", "✖", "?", "▲"}
	asciiSymbols   = symbols{"+- ", "`- ", "|  ", "   ", "*", "o", "x", "?", "!"}
)

func (s Style) symbols() symbols {
	if s.ASCII {
		return asciiSymbols
	}
	return unicodeSymbols
}

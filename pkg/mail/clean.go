package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	mostSubject = 200 // characters
	mostAddress = 320
	mostBody    = 64 << 10 // bytes
	mostLine    = 900      // bytes; RFC 5321 allows 998
	mostHost    = 200
	mostError   = 300
)

// line makes one line of text: what is not printable is taken out, and what is
// longer than most characters is cut.
func line(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), unicode.IsSpace), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-3]) + "..."
	}
	return text
}

// header is text for a header: nothing in it may pass for an encoded word, which
// mail clients decode.
func header(text string) string {
	return strings.ReplaceAll(line(text, mostSubject), "=?", "= ?")
}

// word is what of text may stand in the name or the identifier of a header.
func word(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return -1
	}, text)
}

// body keeps the lines of text and bounds each, and all of them.
func body(text string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.ToValidUTF8(text, "?")) {
		l = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, l)
		if len(l) > mostLine {
			l = strings.ToValidUTF8(l[:mostLine], "") + "..."
		}
		if b.Len()+len(l) > mostBody {
			b.WriteString("(cut)\n")
			break
		}
		b.WriteString(strings.TrimRight(l, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// hostName is what of a machine's name HELO and an address may hold.
func hostName(text string) string {
	var labels []string
	total := 0
	for label := range strings.SplitSeq(strings.ToLower(text), ".") {
		label = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return -1
		}, label)
		label = strings.Trim(label[:min(len(label), 63)], "-")
		if label == "" || total+len(label)+1 > mostHost {
			continue
		}
		total += len(label) + 1
		labels = append(labels, label)
	}
	if len(labels) == 0 {
		return "localhost"
	}
	return strings.Join(labels, ".")
}

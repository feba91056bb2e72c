package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever stands in a file, nothing panics, a password further down is never
// shown, and a good tag further down is read.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.conf")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("[a.b]\nx=`\n\"\"\"\n[DEFAULT]\n-=1\n")
	const tail = "\n[zz-tail]\nprimaryhost=zz1:1\nsecondaryhost=zz2:1\nuser=u\npassword=Verborgen9\nuniqsign=zz\n"
	f.Fuzz(func(t *testing.T, text string) {
		p, faults := parse("x", []byte(text+tail)).pairs(0o600)
		a, more := parse("x", []byte(text+tail+"[mysql]\npassword=Verborgen9")).agent(0o600)
		if p == nil || a == nil {
			t.Fatal("no result")
		}
		for _, x := range append(faults.All(), more.All()...) {
			if strings.Contains(x.String(), "Verborgen9") {
				t.Fatalf("a password is shown: %s", x)
			}
			if strings.ContainsAny(x.String(), "\n\x00") {
				t.Fatalf("more than one line: %q", x)
			}
		}
		if strings.Contains(text, "zz") || strings.ContainsRune(text, 0) || len(text) > maxSize/2 {
			return
		}
		for _, tag := range p.Tags {
			if tag.Tag == "zz-tail" && tag.Password.Reveal() == "Verborgen9" {
				return
			}
		}
		t.Fatalf("the good tag is lost: %v", faults.All())
	})
}

func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "x", "'a #b' # c", "\"\"\"", "`", "a\\", "  ", "#", " ;x", "\xa0", "%(x)s", `"a'b"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.ContainsAny(raw, "\n\x00") {
			return
		}
		file := parse("x", []byte("[s]\nkey="+raw+"\nafter=2\n"))
		want, _, _ := unquote(strings.TrimRightFunc(raw, func(c rune) bool { return strings.TrimSpace(string(c)) == "" }))
		s := file.section("s")
		if s == nil || s.entries["key"].value != want || s.entries["after"].value != "2" {
			t.Fatalf("%q is read as %v, want %q", raw, s, want)
		}
	})
}

package gtid

import (
	"fmt"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func TestAMemoSaysWhatParseSays(t *testing.T) {
	var m Memo
	var none *Memo
	texts := []string{"", "0-1-7", "0-1-7,0-2-9", "0-1", "7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"}
	for i := range 2 * memoSize {
		texts = append(texts, fmt.Sprintf("0-1-%d", i+1))
	}
	for range 3 {
		for _, text := range texts {
			for _, f := range []cluster.Flavor{cluster.MySQL, cluster.MariaDB, ""} {
				want, no := Parse(f, text)
				for _, from := range []*Memo{&m, none} {
					got, err := from.Parse(f, text)
					if !got.Equal(want) || fmt.Sprint(err) != fmt.Sprint(no) {
						t.Fatalf("%q of %q is %s, %v; want %s, %v", text, f, got, err, want, no)
					}
				}
			}
		}
	}
}

func TestAMemoReadsATextOnce(t *testing.T) {
	var m Memo
	const text = "0-1-7,0-2-9"
	if _, err := m.Parse(cluster.MariaDB, text); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = m.Parse(cluster.MariaDB, text) }); n != 0 {
		t.Errorf("a text that is known costs %v allocations", n)
	}
}

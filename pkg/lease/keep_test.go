package lease

import (
	"math/rand/v2"
	"testing"
	"time"
)

const (
	ttl    = 10 * time.Second
	second = time.Second
)

func TestMargin(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{3 * second: 900 * time.Millisecond, 10 * second: 3 * second, time.Hour: 5 * second} {
		if got := Margin(ttl); got != want {
			t.Errorf("of %s: %s, want %s", ttl, got, want)
		}
	}
}

// A lease asked for at t ends at t + 9 s, and the closing begins 3 s before.
func TestKeep(t *testing.T) {
	since := 100 * second
	for _, c := range []struct {
		name    string
		do      func(*Keep)
		at      time.Duration
		closeIn time.Duration
		grant   bool
		lock    bool
	}{
		{"whoever starts has a third of a lease to get one", func(*Keep) {}, 100 * second, ttl / 3, false, false},
		{"and no more", func(*Keep) {}, 100*second + ttl/3, 0, false, false},
		{"long after", func(*Keep) {}, time.Hour, 0, false, false},
		{"whoever becomes the active begins anew", func(k *Keep) { k.Begin(200 * second) }, 200 * second, ttl / 3, false, false},
		{"the grant is enough", func(k *Keep) { k.Granted(110*second, 5) }, 112 * second, 4 * second, true, false},
		{"so is the lock", func(k *Keep) { k.Locked(110 * second) }, 112 * second, 4 * second, false, true},
		{"the later one counts", func(k *Keep) { k.Granted(110*second, 5); k.Locked(111 * second) }, 112 * second, 5 * second, true, true},
		{"whichever it is", func(k *Keep) { k.Granted(111*second, 5); k.Locked(110 * second) }, 112 * second, 5 * second, true, true},
		{"the closing begins before the end", func(k *Keep) { k.Granted(110*second, 5) }, 116 * second, 0, true, false},
		{"at the end it is no lease", func(k *Keep) { k.Granted(110*second, 5) }, 119 * second, 0, false, false},
		{"a refused grant runs to its end", func(k *Keep) { k.Granted(110*second, 5); k.Refused() }, 112 * second, 4 * second, true, false},
	} {
		k := NewKeep(ttl, since)
		c.do(&k)
		grant, lock := k.Holds(c.at)
		if got := k.CloseIn(c.at); got != c.closeIn || grant != c.grant || lock != c.lock {
			t.Errorf("%s: close in %s, grant %v, lock %v; want %s, %v, %v", c.name, got, grant, lock, c.closeIn, c.grant, c.lock)
		}
	}
}

func TestOnlyTheGrantOfTheEpochOpens(t *testing.T) {
	k := NewKeep(ttl, 0)
	k.Locked(10 * second)
	if got := k.OpenFor(10*second, 0); got != 0 {
		t.Errorf("without a grant for %s", got)
	}
	k.Granted(10*second, 5)
	for _, c := range []struct {
		at    time.Duration
		epoch uint64
		want  time.Duration
	}{{10 * second, 5, 6 * second}, {15 * second, 5, second}, {16 * second, 5, 0}, {18 * second, 5, 0}, {10 * second, 6, 0}, {10 * second, 4, 0}, {10 * second, 0, 0}} {
		if got := k.OpenFor(c.at, c.epoch); got != c.want {
			t.Errorf("at %s in epoch %d for %s, want %s", c.at, c.epoch, got, c.want)
		}
	}
	k.Refused()
	if got := k.OpenFor(10*second, 5); got != 0 {
		t.Errorf("refused, for %s", got)
	}
	k.Granted(11*second, 6)
	if k.OpenFor(11*second, 5) != 0 || k.OpenFor(11*second, 6) == 0 {
		t.Error("the grant of another epoch counts")
	}
}

func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*Watch)
		over time.Duration // 0: never
	}{
		{"nobody has it", func(*Watch) {}, 0},
		{"it is another's", func(w *Watch) { w.Saw(100*second, 3*second) }, 0},
		{"nobody was seen with it", func(w *Watch) { w.Took(100 * second) }, 110 * second},
		{"it was ended for being idle", func(w *Watch) { w.Saw(108*second, 8*second); w.Took(110 * second) }, 110 * second},
		{"the newest look counts", func(w *Watch) {
			w.Saw(100*second, 0)
			w.Saw(112*second, 8*second)
			w.Took(114 * second)
		}, 114 * second},
		{"of one silence the look counts that tells most", func(w *Watch) {
			w.Saw(112*second, 8*second)
			w.Saw(113*second, 10*second)
			w.Saw(114*second, 10*second)
			w.Took(115 * second)
		}, 113 * second},
		{"it may have asked between two looks", func(w *Watch) {
			w.Saw(100*second, 2*second)
			w.Saw(101*second, 2*second)
			w.Saw(107*second, 7*second)
			w.Took(108 * second)
		}, 110 * second},
		{"its session was ended, and it may have asked since", func(w *Watch) { w.Saw(100*second, second); w.Took(101 * second) }, 111 * second},
		{"whoever has lost it has nothing", func(w *Watch) { w.Took(100 * second); w.Lost() }, 0},
		{"and begins anew", func(w *Watch) {
			w.Saw(100*second, 10*second)
			w.Took(101 * second)
			w.Lost()
			w.Took(105 * second)
		}, 115 * second},
	} {
		w := NewWatch(ttl)
		c.do(&w)
		if c.over == 0 {
			if w.Over(time.Hour) {
				t.Errorf("%s: over", c.name)
			}
			continue
		}
		if w.Over(c.over-1) || !w.Over(c.over) || w.OverIn(c.over-second) != second {
			t.Errorf("%s: over in %s at %s, want %s", c.name, w.OverIn(0), time.Duration(0), c.over)
		}
	}
}

// Any holder that pings as long as it can, cut off at any moment or ended by
// anybody, and any watch beside it: over is never before the holder's last moment.
func TestNobodyIsOverWhoStillKeeps(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 9))
		upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
		keep, watch := NewKeep(ttl, 0), NewWatch(ttl)
		// The holder's requests are on their way for a while each, until one is the last.
		now, asked := 100*second, time.Duration(0)
		last := now + upTo(5*second)
		for now < last {
			asked = now + upTo(50*time.Millisecond) // when the server reads it
			keep.Locked(now)
			now += second/2 + upTo(second)
		}
		ended := asked + ttl // for being idle
		if r.IntN(2) == 0 {
			ended = asked + upTo(ttl)
		}
		for look := 100*second + upTo(3*second); ; look += 200 * time.Millisecond {
			if look < asked && r.IntN(20) > 0 {
				continue
			}
			answered := look + upTo(50*time.Millisecond)
			if look >= ended {
				watch.Took(answered)
				break
			}
			if look >= asked {
				watch.Saw(answered, max(0, (look-asked-upTo(second)).Truncate(second)))
			} else {
				watch.Saw(answered, 0)
			}
		}
		end := max(0, keep.lock.until)
		if watch.Over(end - 1) {
			t.Fatalf("seed %d: over before the holder's right ends at %s (asked last %s, ended %s)", seed, end, asked, ended)
		}
	}
}

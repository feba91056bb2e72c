package monitor

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/sched"
)

// wait lets d of virtual time pass, and then everything at rest.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestHealthyPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		stop := x.run(t)
		wait(10 * time.Second)
		for _, n := range []cluster.Endpoint{nodeA, nodeB} {
			all := x.bus.of(n)
			if len(all) != 4 {
				t.Errorf("%d records of %s in 10 s", len(all), n)
			}
			for i, o := range all {
				if !o.Answered() || o.Seq != uint64(i+1) || o.wake != (i == 0) {
					t.Errorf("%+v", o)
				}
			}
			c := x.bus.check(n)
			if ago := wall().Unix() - c.LastCheck; !c.Ping || c.ReplCheck != "OK" || ago < 1 || ago > 2 {
				t.Errorf("check %+v of %d s ago", c, ago)
			}
		}
		if n := x.bus.pairsOf("u"); n < 2 || n > 3 || x.a.connects() != 1 || x.b.connects() != 1 {
			t.Errorf("the pair was published %d times; %d and %d connections", n, x.a.connects(), x.b.connects())
		}
		stop()
		if x.a.open()+x.b.open() != 0 {
			t.Error("connections stay open after the end")
		}
	})
}

func TestKilledServerIsKnownWithinMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		defer x.run(t)()
		wait(10*time.Second + 123*time.Millisecond)
		before := len(x.bus.of(nodeB))
		killed := time.Now()
		x.a.be(dead, nil)
		x.b.be(up, func(s *cluster.Server) { s.Channel.IO = cluster.ThreadConnecting })
		wait(5 * time.Millisecond)
		o := x.bus.last(nodeA)
		if o.Cause != cluster.CauseRefused || !o.Broken || !o.wake || o.at.Sub(killed) > time.Millisecond {
			t.Errorf("%v after: %+v", o.at.Sub(killed), o)
		}
		b := x.bus.last(nodeB)
		if len(x.bus.of(nodeB)) == before || b.Server.Channel.IO != cluster.ThreadConnecting || b.BeganMS < o.UnansweredMS || !b.wake {
			t.Errorf("the replica: %+v", b)
		}
		if c := x.bus.check(nodeA); c.Ping {
			t.Errorf("check %+v", c)
		}

		wait(time.Minute)
		if o := x.bus.last(nodeA); time.Since(o.at) > PingEvery+time.Millisecond || o.Seq < 200 {
			t.Errorf("a dead server is not published every 250 ms: %+v", o)
		}
		back := time.Now()
		x.a.be(up, func(s *cluster.Server) { s.UptimeS, s.ReadOnly, s.StartsClosed = 0, cluster.Yes, cluster.Yes })
		wait(260 * time.Millisecond)
		o = x.bus.last(nodeA)
		if !o.Answered() || o.Broken || o.ReadOnlyAtStart != cluster.Yes || o.Server.StartsClosed != cluster.Yes || o.at.Sub(back) > 255*time.Millisecond {
			t.Errorf("%v after its return: %+v", o.at.Sub(back), o)
		}
		if !strings.Contains(x.logs.String(), "the server was restarted") {
			t.Error("the restart is not in the log")
		}
	})
}

func TestHungServerNeverDelaysTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		defer x.run(t)()
		wait(10*time.Second + 200*time.Millisecond)
		stopped := time.Now()
		x.a.be(hung, nil)
		wait(1700 * time.Millisecond)
		if c := x.bus.check(nodeA); !c.Ping {
			t.Error("dead for the predecessor before its time")
		}
		wait(300 * time.Millisecond)
		var marked *kept
		for _, o := range x.bus.of(nodeA) {
			if o.SilentMS() >= 2000 && marked == nil {
				marked = &o
			}
		}
		if marked == nil || marked.SilentMS() != 2000 || marked.Cause != cluster.CauseAnswerTimeout || !marked.wake || marked.at.Sub(stopped) > 2*time.Second {
			t.Errorf("%+v", marked)
		}
		if b := x.bus.last(nodeB); time.Since(b.at) > 2*PingEvery || !b.Answered() {
			t.Errorf("%+v", b)
		}
		wait(10 * time.Minute)
		if n := x.a.connects(); n > 2 {
			t.Errorf("%d connections", n)
		}
		woke := time.Now()
		x.a.be(up, nil)
		wait(5 * time.Millisecond)
		all := x.bus.of(nodeA)
		if o := all[len(all)-1]; !o.Answered() || o.at.Sub(woke) > 5*time.Millisecond {
			t.Errorf("%v after it woke: %+v", o.at.Sub(woke), o)
		}
	})
}

func TestFullServerIsNeverSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		defer x.run(t)()
		wait(5 * time.Second)
		x.a.be(full, nil)
		x.a.mu.Lock()
		for c := range x.a.conns {
			c.end()
		}
		x.a.mu.Unlock()
		wait(time.Minute)
		for _, o := range x.bus.of(nodeA) {
			if o.Cause.MayBeDead() || o.SilentMS() > 100 {
				t.Errorf("%+v", o)
			}
		}
		if o := x.bus.last(nodeA); o.Cause != cluster.CauseTooMany || !x.bus.check(nodeA).Ping {
			t.Errorf("%+v", o)
		}
		if n := strings.Count(x.logs.String(), "the server has too many connections"); n != 1 {
			t.Errorf("said %d times", n)
		}
		x.a.be(up, nil)
		wait(1200 * time.Millisecond)
		if o := x.bus.last(nodeA); !o.Answered() {
			t.Errorf("%+v", o)
		}
	})
}

func TestRedisAwayKeepsOnlyTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		defer x.run(t)()
		wait(5 * time.Second)
		x.bus.be(errors.New("connection refused"))
		n := len(x.bus.of(nodeA))
		wait(10*time.Minute + 7*time.Millisecond)
		x.bus.be(nil)
		wait(1100 * time.Millisecond)
		all := x.bus.of(nodeA)[n:]
		if len(all) == 0 || len(all) > 2 || all[0].Seq < 200 {
			t.Errorf("%d records at once, the first is %d", len(all), all[0].Seq)
		}
		if x.bus.pairsOf("u") < 2 {
			t.Error("the static keys were not written again")
		}
		if s := x.logs.String(); strings.Count(s, "redis does not take records") != 1 || strings.Count(s, "redis takes records again") != 1 {
			t.Error(s)
		}
	})
}

func TestRecordThatRedisRefusedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		x.tag.Interval = time.Hour
		x.bus.be(errors.New("LOADING"))
		defer x.run(t)()
		wait(10 * time.Second)
		x.bus.be(nil)
		wait(longestWait + 10*time.Millisecond)
		if len(x.bus.of(nodeA)) != 1 || x.bus.check(nodeA).LastCheck != wall().Unix()-11 || x.bus.pairsOf("u") == 0 {
			t.Errorf("%d records, check %+v, now %d", len(x.bus.of(nodeA)), x.bus.check(nodeA), wall().Unix())
		}
	})
}

func TestHangingRedisStopsNoSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		defer x.run(t)()
		wait(5 * time.Second)
		x.bus.mu.Lock()
		x.bus.hangs = true
		x.bus.mu.Unlock()
		wait(time.Minute)
		x.bus.mu.Lock()
		x.bus.hangs = false
		x.bus.mu.Unlock()
		wait(2 * busWait)
		if o := x.bus.last(nodeA); o.Seq < 20 || time.Since(o.at) > 4*time.Second {
			t.Errorf("%+v", o)
		}
	})
}

func TestRedisRestartedEmptyGetsEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		x.tag.Interval = time.Minute
		defer x.run(t)()
		wait(11 * time.Second) // between two of the regular times
		x.bus.restart()
		wait(lookEvery + 100*time.Millisecond)
		if x.bus.pairsOf("u") != 1 || len(x.bus.of(nodeA)) != 1 || len(x.bus.of(nodeB)) != 1 {
			t.Errorf("%d pairs, %+v", x.bus.pairsOf("u"), x.bus.last(nodeA))
		}
	})
}

func TestAnEmptiedRedisGetsEverythingWithTheNextSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		x.tag.Interval = 2 * time.Second
		defer x.run(t)()
		wait(10*time.Second + 500*time.Millisecond) // the pair was published half a second ago
		x.bus.empty()
		wait(2*time.Second + 100*time.Millisecond)
		a, b := x.bus.last(nodeA), x.bus.last(nodeB)
		if x.bus.pairsOf("u") == 0 || !a.wake || !b.wake {
			t.Errorf("%d pairs, %+v, %+v", x.bus.pairsOf("u"), a, b)
		}
	})
}

func TestNextRunBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		x.run(t)()
		stop := x.run(t)
		wait(5 * time.Second)
		before := x.bus.last(nodeA)
		stop()
		x.tag.Interval = time.Second
		defer x.run(t)()
		wait(5 * time.Second)
		if o := x.bus.last(nodeA); before.Run != "run2" || o.Run != "run3" || o.Seq < 5 || x.a.open() != 1 {
			t.Errorf("%+v after %+v, %d connections open", o, before, x.a.open())
		}
	})
}

func TestAddressThatCannotBeOpenedIsAnError(t *testing.T) {
	x := newBench()
	x.tag.Primary = "10.9.9.9:1"
	if _, err := x.monitor("run"); err == nil || !strings.Contains(err.Error(), "open 10.9.9.9:1") {
		t.Errorf("got %v", err)
	}
}

// A process is woken once for all pairs that it samples.
func TestMonitorsOfOneRuntimeProbeAtTheSameInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := sched.Real()
		var all []*bench
		for range 3 {
			x := newBench()
			x.rt = rt
			defer x.run(t)()
			wait(71 * time.Millisecond)
			all = append(all, x)
		}
		wait(5 * time.Second)
		for _, x := range all {
			if x.a.asked != all[0].a.asked || x.b.asked != x.a.asked {
				t.Errorf("asked at %s and %s, the first at %s", x.a.asked, x.b.asked, all[0].a.asked)
			}
		}
	})
}

func TestThePredecessorsChecksNeedACalendar(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		_, err := New(Options{Tag: Tag{Legacy: legacy}, Open: func(cluster.Endpoint) (Node, error) { return nil, nil }})
		if (err != nil) != legacy {
			t.Errorf("checks are written: %v; error %v", legacy, err)
		}
	}
}

func TestOtherMonitorsLeaveThePredecessorsChecksAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		x.tag.Legacy = false
		defer x.run(t)()
		wait(5 * time.Second)
		x.a.be(dead, nil)
		wait(5 * time.Second)
		if x.bus.check(nodeB).Ping || x.bus.last(nodeA).Cause != cluster.CauseRefused {
			t.Errorf("%+v", x.bus.check(nodeB))
		}
	})
}

func TestEndWhileEverythingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench()
		stop := x.run(t)
		wait(5 * time.Second)
		x.a.be(hung, nil)
		x.b.be(slow, nil)
		wait(20 * time.Second)
		stop()
		if x.a.open()+x.b.open() != 0 {
			t.Errorf("%d and %d connections stay open", x.a.open(), x.b.open())
		}
	})
}

package mysqlnode

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func mark(epoch cluster.Epoch) cluster.Mark {
	return cluster.Mark{Epoch: epoch, Active: cluster.Endpoint(fmt.Sprintf("db%d.example:3306", epoch%7))}
}

// marked makes sessions that observe a mark.
func (s *server) marked(user string, at EpochAt) *Conn {
	s.t.Helper()
	n := s.node(user)
	n.opts.Epoch = at
	c, err := n.Connect(s.t.Context())
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

var shop = EpochAt{Table: "mmm_meta.epoch", UniqSign: "0123456789abcdef0123456789abcdef"}

func TestMarksAreRaisedAndReplicate(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		a, b := startPair(t, kind)
		writer, reader := a.connect(agentUser), b.marked(monitorUser, shop)
		is := func(c *Conn, want cluster.Mark) {
			t.Helper()
			got, err := c.Mark(t.Context(), shop)
			must(t, err)
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		is(writer, cluster.Mark{})
		is(reader, cluster.Mark{})
		highest, last := cluster.Epoch(1<<64-1), 2
		for i, m := range []cluster.Mark{mark(3), mark(4), {Epoch: highest, Active: "[2001:db8::1]:3306"}} {
			must(t, writer.WriteMark(within(t, 5*time.Second), shop, m))
			is(writer, m)
			last++
			if at := a.position(); at != a.upTo(last) {
				t.Errorf("mark %d is one transaction, with schema and table three: position %q", i, at)
			}
			// Neither a lower nor an equal one changes anything.
			must(t, writer.WriteMark(t.Context(), shop, mark(2)))
			must(t, writer.WriteMark(t.Context(), shop, cluster.Mark{Epoch: m.Epoch, Active: "other:1"}))
			is(writer, m)
			if kind.flavor == cluster.MariaDB {
				last += 2 // written as statements where binlog_format is not ROW
			}
			if at := a.position(); at != a.upTo(last) {
				t.Errorf("a repetition replicates: position %q", at)
			}
		}
		eventually(t, 10*time.Second, "the mark is on the other server", func() bool {
			got, err := reader.Mark(t.Context(), shop)
			must(t, err)
			return got.Epoch == highest
		})
		reader.markAfter = time.Time{}
		got, err := reader.Observe(t.Context(), nil)
		must(t, err)
		if got.Mark.Epoch != highest || got.Mark.Active != "[2001:db8::1]:3306" {
			t.Errorf("observed %+v", got.Mark)
		}
		if !got.Channel.Configured {
			t.Errorf("beside the mark: %+v", got.Channel)
		}
		if got := a.value("SELECT TIMESTAMPDIFF(SECOND, written, NOW()) BETWEEN 0 AND 60 FROM mmm_meta.epoch"); got != "1" {
			t.Error("the row does not say when it was written")
		}
	})
}

func TestAMarkIsOneStatement(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		c := s.connect(agentUser)
		must(t, c.WriteMark(t.Context(), shop, mark(1)))
		questions := func() int64 {
			t.Helper()
			got, err := c.query(t.Context(), "count the questions of", "SHOW SESSION STATUS LIKE 'Questions'")
			must(t, err)
			n, _ := got[0].row(0).integer("Value")
			return n
		}
		before := questions()
		must(t, c.WriteMark(t.Context(), shop, mark(2)))
		if n := questions() - before - 1; n != 1 {
			t.Errorf("%d statements", n)
		}
	})
}

func TestMarksFromManySides(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		var wg sync.WaitGroup
		for i := range 4 {
			c := s.connect(agentUser)
			wg.Go(func() {
				for j := range 25 {
					if err := c.WriteMark(t.Context(), shop, mark(cluster.Epoch(1+(i*37+j*11)%100))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		top := cluster.Epoch(0)
		for i := range 4 {
			for j := range 25 {
				top = max(top, cluster.Epoch(1+(i*37+j*11)%100))
			}
		}
		if got, err := s.connect(monitorUser).Mark(t.Context(), shop); err != nil || got != mark(top) {
			t.Errorf("%+v, %v, want %+v", got, err, mark(top))
		}
	})
}

// Who waits for a row that then vanishes is left with a lock on its gap. When another
// session has locked that gap, too, neither can insert before the other has ended; InnoDB
// undoes the one that has changed less, which is ours.
func TestAMarkUndoneForADeadlockIsWrittenAgain(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		for _, text := range shop.create() {
			s.do(text)
		}
		deadlocks := func() string {
			t.Helper()
			return s.value("SELECT COUNT FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'")
		}
		if n := deadlocks(); n != "0" {
			t.Fatalf("%s deadlocks before any", n)
		}
		first, c := s.connect(agentUser), s.connect(agentUser)
		must(t, first.exec(t.Context(), "write to", "BEGIN", shop.write(mark(1))))
		s.do("BEGIN")
		s.do("INSERT INTO app.t (v) VALUES (0)" + strings.Repeat(", (0)", 99))
		s.do("SELECT epoch FROM mmm_meta.epoch WHERE uniqsign = 'z' FOR UPDATE")

		// The usual limit could end the wait on a busy machine, and with it the deadlock.
		must(t, c.exec(t.Context(), "set up", "SET innodb_lock_wait_timeout = 60"))
		ctx, written := within(t, 30*time.Second), make(chan error, 1)
		go func() { written <- c.WriteMark(ctx, shop, mark(7)) }()
		eventually(t, 10*time.Second, "the mark waits for the first row", func() bool {
			var name, waits string
			must(t, s.admin.QueryRow("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").Scan(&name, &waits))
			return waits == "1"
		})
		must(t, first.exec(t.Context(), "write to", "ROLLBACK"))
		s.do(shop.write(mark(5)))
		if n := deadlocks(); n != "1" {
			t.Errorf("%s deadlocks", n)
		}
		s.do("COMMIT")
		must(t, <-written)
		if got, err := s.connect(monitorUser).Mark(t.Context(), shop); err != nil || got != mark(7) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestMarksOfOddPairsStayApart(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		s.do("GRANT CREATE, INSERT, SELECT, UPDATE ON elsewhere.* TO agent@'127.0.0.1'")
		c := s.connect(agentUser)
		all := []cluster.UniqSign{"it's", `a\`, "ünï", "unï", "%", "_", "Shop", "shop", "漢字😀", cluster.UniqSign(strings.Repeat("ж", widestUniqSign))}
		for i, u := range all {
			must(t, c.WriteMark(t.Context(), EpochAt{Table: "elsewhere.mark", UniqSign: u}, mark(cluster.Epoch(i+1))))
		}
		for i, u := range all {
			at := EpochAt{Table: "elsewhere.mark", UniqSign: u}
			got, err := c.Mark(t.Context(), at)
			must(t, err)
			if got != mark(cluster.Epoch(i+1)) {
				t.Errorf("%s: %+v", u, got)
			}
			seen, err := s.marked(agentUser, at).Observe(t.Context(), nil)
			must(t, err)
			if seen.Mark != got {
				t.Errorf("%s: observed %+v", u, seen.Mark)
			}
		}
		long := EpochAt{Table: "elsewhere.mark", UniqSign: all[len(all)-1] + "x"}
		if err := c.WriteMark(t.Context(), long, mark(1)); err == nil {
			t.Error("took a uniqsign that the table would cut")
		}
		if err := c.WriteMark(t.Context(), EpochAt{Table: "elsewhere.mark", UniqSign: "x"}, cluster.Mark{Epoch: 1, Active: cluster.Endpoint(strings.Repeat("h", 256))}); err == nil {
			t.Error("took an address that the table would cut")
		}
		if err := c.WriteMark(t.Context(), EpochAt{UniqSign: "x"}, mark(1)); err == nil {
			t.Error("wrote without a table")
		}
	})
}

func TestMarksWithoutTheRight(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		if kind.flavor == cluster.MariaDB {
			s.quietly("GRANT SLAVE MONITOR, PROCESS ON *.* TO poor@'127.0.0.1'")
		} else {
			s.quietly("GRANT REPLICATION CLIENT, PROCESS ON *.* TO poor@'127.0.0.1'")
		}
		c := s.marked(poorUser, shop)
		if _, err := c.Mark(t.Context(), shop); !Refused(err) {
			t.Errorf("read: %v", err)
		}
		s.do("SET GLOBAL read_only = 0")
		if err := c.WriteMark(t.Context(), shop, mark(1)); !Refused(err) {
			t.Errorf("write: %v", err)
		}
		s.do("SET GLOBAL read_only = 1")
		observe := func() cluster.Server {
			t.Helper()
			got, err := c.Observe(t.Context(), nil)
			must(t, err)
			if got.Version == "" || got.ReadOnly != cluster.Yes {
				t.Errorf("the rest of the sample: %+v", got)
			}
			return got
		}
		if got := observe(); got.Mark != (cluster.Mark{}) {
			t.Errorf("%+v", got.Mark)
		}
		if q := c.markQuery(); q != "" {
			t.Errorf("the next sample asks again: %s", q)
		}
		s.quietly("GRANT SELECT ON mmm_meta.* TO poor@'127.0.0.1'")
		s.do("SET GLOBAL read_only = 0")
		must(t, s.connect(agentUser).WriteMark(t.Context(), shop, mark(9)))
		s.do("SET GLOBAL read_only = 1")
		if got := observe(); got.Mark != (cluster.Mark{}) {
			t.Errorf("asked within the minute: %+v", got.Mark)
		}
		c.markAfter = time.Now()
		// The rights of a schema are read when a session begins, on some servers.
		c = s.marked(poorUser, shop)
		if got := observe(); got.Mark != mark(9) {
			t.Errorf("%+v", got.Mark)
		}
	})
}

func TestAMarkOnASealedServer(t *testing.T) {
	mysql9.need(t)
	s := startServer(t, mysql9, 1)
	c := s.connect(agentUser)
	err := c.WriteMark(t.Context(), shop, mark(1))
	if e := want(t, err, cluster.CauseOther); e.Number != errReadOnlyOption || Refused(err) {
		t.Error(err)
	}
	must(t, c.Unseal(within(t, time.Second)))
	must(t, c.WriteMark(t.Context(), shop, mark(1)))
	if r, _ := s.closed(); !r {
		t.Error("open")
	}
}

func TestAWaitForARowIsShort(t *testing.T) {
	onEach(t, func(t *testing.T, kind *brand) {
		s := startServer(t, kind, 1)
		s.do("SET GLOBAL read_only = 0")
		c := s.connect(agentUser)
		must(t, c.WriteMark(t.Context(), shop, mark(1)))
		s.do("BEGIN")
		s.do("UPDATE mmm_meta.epoch SET epoch = 5")
		if e := want(t, c.WriteMark(within(t, 10*time.Second), shop, mark(7)), cluster.CauseOther); e.Number != errLockWait {
			t.Error(e)
		}
		s.do("COMMIT")
		must(t, c.WriteMark(t.Context(), shop, mark(7)))
	})
}

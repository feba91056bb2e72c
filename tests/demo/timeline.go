package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// follower prints each entry of the audit trail as it is written.
type follower struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup
	mu     sync.Mutex
	zero   time.Time
	zeroed chan struct{}
}

func (d *demo) follow(ctx context.Context) (*follower, error) {
	stream := "mmm:{" + string(d.site.UniqSign) + "}:events"
	client := d.site.Redis.Client()
	last := "0"
	if newest, err := client.XRevRangeN(ctx, stream, "+", "-", 1).Result(); err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	} else if len(newest) > 0 {
		last = newest[0].ID
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, zeroed: make(chan struct{})}
	f.wait.Go(func() {
		for ctx.Err() == nil {
			found, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, last}, Block: time.Second}).Result()
			if err != nil {
				continue
			}
			for _, entry := range found[0].Messages {
				last = entry.ID
				select {
				case <-f.zeroed:
				case <-ctx.Done():
					return
				}
				f.print(d, entry)
			}
		}
	})
	return f, nil
}

// since sets the moment from which times are shown.
func (f *follower) since(t time.Time) {
	f.mu.Lock()
	f.zero = t
	f.mu.Unlock()
	close(f.zeroed)
}

func (f *follower) stop() {
	f.cancel()
	f.wait.Wait()
}

func (f *follower) print(d *demo, entry redis.XMessage) {
	text, _ := entry.Values["event"].(string)
	var event cluster.Event
	if json.Unmarshal([]byte(text), &event) != nil {
		return
	}
	var ms int64
	_, _ = fmt.Sscanf(entry.ID, "%d-", &ms)
	a := event.Assignment
	fmt.Fprintf(d.out, "          %+5d ms  %-7s epoch %s  active %-15s  %s\n",
		time.UnixMilli(ms).Sub(f.zero).Milliseconds(), a.Phase, a.Order(), orNobody(a.Active), event.Reason)
}

func orNobody(e cluster.Endpoint) string {
	if e == "" {
		return "nobody"
	}
	return string(e)
}

// timeline prints when what happened, counted from the kill.
func (d *demo) timeline(killed time.Time, c harness.Change, write time.Time) {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	row := func(name string, at time.Time, note string) {
		fmt.Fprintf(w, "    %s\t%7.1f ms\t%s\n", name, float64(at.Sub(killed).Microseconds())/1000, note)
	}
	row("killed", killed, "")
	notes := map[string]string{
		harness.Seen:    "the monitor's open connection ended, a new connect was refused",
		harness.Decided: "identify took the role away",
		harness.Closed:  "the old active: " + c.Record.Proof.Words(),
		harness.Drained: "everything received is applied on the other server",
		harness.Opened:  "read_only=0 read back",
	}
	for _, m := range c.Moments {
		row(m.Name, m.At, notes[m.Name])
	}
	row("first write", write, "acknowledged to an ordinary user")
	_ = w.Flush()
	fmt.Fprintln(d.out)
	if c.Record.Loss != "" {
		fmt.Fprintf(d.out, "    the record says: %s\n\n", c.Record.Loss)
	}
}

// rows prints what became of the application's rows.
func (d *demo) rows(t harness.Tally, c comeback) {
	fmt.Fprintf(d.out, "    rows acknowledged to the application  %6d\n", t.Acknowledged)
	fmt.Fprintf(d.out, "    of these present on the new active    %6d\n", t.Acknowledged-len(t.Lost))
	fmt.Fprintf(d.out, "    lost (asynchronous replication)       %6d", len(t.Lost))
	if len(t.Lost) > 0 && c.quarantine {
		fmt.Fprintf(d.out, "  on the old active, which is in quarantine for it")
	}
	fmt.Fprintf(d.out, "\n    outcome unknown to the application    %6d  %d of them present\n\n", t.Unknown, t.UnknownPresent)
}

// howToLook tells how to use what KEEP=1 left running.
func (d *demo) howToLook(bin string) {
	if d.site == nil {
		return
	}
	var pids []string
	for _, pid := range d.lab.PIDs() {
		pids = append(pids, fmt.Sprint(pid))
	}
	conf := d.site.Conf
	fmt.Fprintf(os.Stdout, `
KEEP=1: everything is left running. Look at it with
  %[1]s/mmm-status --conf %[2]s --watch
  %[1]s/mmmctl list --conf %[2]s
  %[1]s/mmmctl switchover --conf %[2]s --tag %[3]s --yes
  mariadb -h 127.0.0.1 -P %[4]d -u %[5]s -p'%[6]s' %[7]s
  redis-cli -p %[8]s
and end it with
  kill -9 %[9]s; rm -rf %[10]s
`, bin, conf, harness.ServiceTag, d.site.Pair.B.Addr().Port(), harness.AppUser, harness.Password, harness.AppDB,
		d.site.Redis.Addr()[strings.LastIndex(d.site.Redis.Addr(), ":")+1:], strings.Join(pids, " "), d.lab.Dir())
}

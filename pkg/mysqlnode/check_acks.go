package mysqlnode

import (
	"context"
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// acknowledgements looks at semi-synchronous replication where commits are to wait for
// the passive. What the agent sets itself is no finding.
func (k *checker) acknowledgements(ctx context.Context, status map[string]string) error {
	if !k.options.Durability.Acknowledged() {
		return nil
	}
	const item = "semi-synchronous replication"
	s, d := readEnds(k.vars, status), k.conn.dialect
	_, pointed := s.vars[s.source+"_wait_point"]
	switch {
	case k.conn.version.flavor == cluster.MySQL && !k.conn.version.since(5, 7, 2):
		k.fail(item, "this release shows rows to others before the passive has them: durability="+string(k.options.Durability)+" needs MySQL 5.7", "durability=async\n# in mmm.conf")
	case s.source == "" || s.replica == "":
		k.warn(item, "not installed yet: the agent does it, with super_read_only taken away for the moment", pluginLines(s, d))
	case s.enabled() && pointed && !strings.EqualFold(s.vars[s.source+"_wait_point"], "AFTER_SYNC"):
		k.warn(item, "commits wait after others see them, until the agent changes that", s.source+"_wait_point=AFTER_SYNC")
	default:
		k.ok(item, "there")
	}
	if s.acks.Clients > 1 {
		k.warn("replicas that acknowledge", fmt.Sprintf("%d: a commit waits for any one of them, so that the passive may lack it", s.acks.Clients),
			"# on every replica but the passive: SET GLOBAL "+d.acknowledger+"_enabled=OFF; then restart the IO thread")
	}
	if err := k.waitsAtStart(ctx, s); err != nil {
		return err
	}
	if k.conn.version.flavor == cluster.MariaDB && k.conn.version.since(10, 11, 0) {
		k.unknown("init_rpl_role", "this release does not show it: with init_rpl_role=SLAVE in the option file a server that crashed "+
			"comes back without what nobody had acknowledged, instead of going into quarantine for it", "")
	}
	return nil
}

// pluginLines load what is missing at the next start.
func pluginLines(s ends, d *dialect) string {
	var lines []string
	for _, end := range []struct{ there, plugin string }{{s.source, d.source}, {s.replica, d.acknowledger}} {
		if end.there == "" {
			lines = append(lines, "plugin_load_add="+library(end.plugin))
		}
	}
	return strings.Join(lines, "\n")
}

// waitsAtStart finds whether commits wait from the start, where nobody knows yet who is
// active: the applier of a passive then waits for the active, and after its death
// everything that was received is applied only when the timeout is over.
func (k *checker) waitsAtStart(ctx context.Context, s ends) error {
	if s.source == "" || !s.enabled() {
		return nil
	}
	name := s.source + "_enabled"
	item := name + " at start"
	kept := false
	if asks := k.conn.dialect.waitOrigins; asks != "" {
		got, err := k.conn.query(ctx, "check", fmt.Sprintf(asks, literal(name)))
		if err != nil && number(err) == 0 {
			return err
		}
		if err != nil || len(got) != 1 {
			k.unknown(item, "it is not told where it comes from: see that the option file has "+name+"=OFF", "")
			return nil
		}
		kept = len(got[0].rows) > 0
	}
	switch {
	case kept:
		k.warn(item, "on: a passive that starts with it applies nothing while the active is dead", s.source+"_enabled=OFF\n# and where SET PERSIST has it: RESET PERSIST "+name+";")
	case k.options.Active != "" && !k.isActive():
		k.warn(item, "on, and this server is not the active: it applies nothing while the active is dead", "SET GLOBAL "+name+"=OFF;")
	}
	return nil
}

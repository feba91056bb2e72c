package mysqlnode

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// maxNetTimeout is the longest timeout, in seconds, after which a source that
// hangs is noticed soon enough.
const maxNetTimeout = 10

// release looks at whether this program knows the server's release.
func (k *checker) release() {
	older := k.older()
	if warning := k.conn.Warning(); warning != "" {
		k.warn("release", warning, "")
	} else if !older {
		k.ok("release", k.conn.version.text)
	}
}

// older finds whether the server replicates from a release that is newer than its own.
func (k *checker) older() bool {
	peer, mine := k.options.PeerFacts, k.conn.version
	if peer == nil || k.options.Active == "" || k.options.Active != k.options.Peer {
		return false
	}
	other := parseVersion(peer.Version, "")
	if mine.flavor != other.flavor || cluster.Series(mine.text) >= cluster.Series(other.text) {
		return false
	}
	k.warn("release", fmt.Sprintf("%s is older than the active's %s: no release is made to replicate from a newer one", mine.text, other.text), "# upgrade this server")
	return true
}

// numbering looks at GTIDs and the binary log.
func (k *checker) numbering() {
	maria := k.conn.version.flavor == cluster.MariaDB
	if !on(k.vars["log_bin"]) {
		k.fail("binary log", "it is off: nothing can replicate from this server", "log_bin=bin")
	} else {
		k.ok("binary log", "on")
	}
	switch mode := k.vars["gtid_mode"]; {
	case maria:
		k.ok("GTID", "always on in MariaDB")
	case strings.EqualFold(mode, "ON"):
		k.ok("GTID", "gtid_mode=ON")
	default:
		k.fail("GTID", "gtid_mode="+mode+": without GTIDs no server of this pair is ever opened automatically",
			"gtid_mode=ON\nenforce_gtid_consistency=ON")
	}
	if name, value, ok := k.setting("log_replica_updates", "log_slave_updates"); !ok || !on(value) {
		if name == "" {
			name = "log_slave_updates"
		}
		k.fail(name, "it is off: after a change of role the other server cannot fetch what this one only replicated", name+"=ON")
	} else {
		k.ok(name, "on")
	}
	if maria {
		if on(k.vars["gtid_strict_mode"]) {
			k.ok("gtid_strict_mode", "on")
		} else {
			k.warn("gtid_strict_mode", "it is off: a divergent history can be replicated before it is noticed",
				"gtid_strict_mode=ON\n# at once: SET GLOBAL gtid_strict_mode=1;")
		}
	}
}

// identity compares this server with its peer.
func (k *checker) identity() {
	mine, peer := k.conn.facts(k.vars), k.options.PeerFacts
	switch {
	case mine.ServerID == 0:
		k.fail("server_id", "it is 0: replication does not run", "server_id=<a number that no other server has>")
	case peer == nil:
		k.unknown("server_id", fmt.Sprintf("%d; the other server's is not known", mine.ServerID), "")
	case mine.ServerID == peer.ServerID:
		k.fail("server_id", fmt.Sprintf("%d on both servers: each ignores the other's changes", mine.ServerID),
			"server_id=<a number that no other server has>")
	default:
		k.ok("server_id", fmt.Sprintf("%d, the other server's is %d", mine.ServerID, peer.ServerID))
	}
	if peer == nil {
		return
	}
	if mine.ServerUUID != "" && mine.ServerUUID == peer.ServerUUID {
		k.fail("server_uuid", "both servers have "+mine.ServerUUID+": remove auto.cnf from the copied data directory and restart it", "")
	}
	if k.conn.version.flavor != cluster.MariaDB {
		return
	}
	if mine.DomainID != peer.DomainID {
		k.fail("gtid_domain_id", fmt.Sprintf("%d here, %d on the other server: their transactions are not in one order", mine.DomainID, peer.DomainID),
			fmt.Sprintf("gtid_domain_id=%d", peer.DomainID))
	} else {
		k.ok("gtid_domain_id", fmt.Sprintf("%d on both servers", mine.DomainID))
	}
}

// startsStopped finds whether replication waits for the agent after a start.
func (k *checker) startsStopped() {
	name, value, ok := k.setting("skip_replica_start", "skip_slave_start")
	switch {
	case !ok:
		k.unknown("skip_slave_start", "this release does not show it: see that the option file has skip_slave_start=ON; "+
			"without it a server that returns replicates before its history has been compared", "")
	case on(value):
		k.ok(name, "on")
	default:
		k.warn(name, "it is off: a server that returns replicates before its history has been compared", name+"=ON")
	}
}

// durability looks at what a crash may take away.
func (k *checker) durability() {
	for _, name := range []string{"sync_binlog", "innodb_flush_log_at_trx_commit"} {
		switch value, ok := k.vars[name]; {
		case !ok:
			k.unknown(name, "this release does not show it", "")
		case value == "1":
			k.ok(name, "1")
		default:
			k.warn(name, value+": when the machine crashes, the server may come back without transactions that its replica has",
				name+"=1\n# at once: SET GLOBAL "+name+"=1;")
		}
	}
}

// relayLog looks at what a restart of the passive keeps.
func (k *checker) relayLog() {
	const item = "relay_log_recovery"
	value, ok := k.vars[item]
	switch {
	case !ok:
		k.unknown(item, "this release does not show it", "")
	case k.conn.version.flavor == cluster.MariaDB:
		k.ok(item, "makes no difference: MariaDB fetches again after a restart what it had not applied")
	case on(value):
		k.warn(item, "on: a restart of this server while the other is dead throws away what it had received and not applied", item+"=OFF")
	default:
		k.ok(item, "off: received transactions outlast a restart")
	}
}

// netTimeout looks at how soon a replica notices a source that hangs.
func (k *checker) netTimeout() {
	name, value, ok := k.setting("replica_net_timeout", "slave_net_timeout")
	n, err := strconv.Atoi(value)
	switch {
	case !ok || err != nil:
		k.unknown("slave_net_timeout", "this release does not show it", "")
	case n > maxNetTimeout:
		k.warn(name, fmt.Sprintf("%d s: that long replication from a source that hangs looks healthy", n),
			name+"=4\n# at once: SET GLOBAL "+name+"=4; then restart the IO thread")
	default:
		k.ok(name, fmt.Sprintf("%d s", n))
	}
}

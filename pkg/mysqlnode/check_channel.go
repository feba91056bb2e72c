package mysqlnode

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	// safeRetries outlast a day of connecting once a second.
	safeRetries = 86400
	// maxHeartbeat is the longest period, in seconds, up to which a silent source
	// is noticed soon enough to be of use as evidence.
	maxHeartbeat = 2.0
	maxReconnect = 10 // seconds
)

// channel looks at the replication channel, given as to readChannel.
func (k *checker) channel(extra []result, status map[string]string) {
	const item = "replication channel"
	ch := readChannel(k.conn.version.flavor, extra, status)
	if !ch.Configured {
		k.fail(item, "this server replicates from nobody", "")
		return
	}
	if peer := k.options.Peer; peer != "" && ch.Source != peer {
		k.fail(item, fmt.Sprintf("it replicates from %s, not from the other member %s", ch.Source, peer), "")
	} else {
		k.threads(item, ch)
	}

	// The findings share one statement: servers set the heartbeat period back
	// in each change that does not name it.
	first := len(k.findings)
	settings := k.channelSettings(ch, extra[0])
	fix := k.change(settings, !k.rests(ch))
	for i := first; i < len(k.findings); i++ {
		if k.findings[i].Severity != SeverityOK {
			k.findings[i].Fix = fix
		}
	}
}

// rests reports whether the channel is stopped for the sake of the data: in
// quarantine, and on the active until the other server has been compared.
func (k *checker) rests(ch cluster.Channel) bool {
	running := ch.IO != cluster.ThreadNo && ch.SQL == cluster.ThreadYes
	return !running && (k.options.Quarantine != "" || k.isActive())
}

func (k *checker) isActive() bool {
	return k.options.Active != "" && k.options.Active == k.conn.node.opts.Addr
}

// threads looks at whether the channel runs. Only the active's may rest.
func (k *checker) threads(item string, ch cluster.Channel) {
	text := fmt.Sprintf("from %s, IO %s, SQL %s", ch.Source, ch.IO, ch.SQL)
	if ch.IO == cluster.ThreadYes && ch.SQL == cluster.ThreadYes {
		k.ok(item, text)
		return
	}
	if k.options.Quarantine != "" {
		k.fail(item, text+": this server is in quarantine, it holds transactions that the active lacks: "+k.options.Quarantine, k.rebuild())
		return
	}
	broken := ""
	if ch.IOError != "" {
		broken += fmt.Sprintf("; IO error %d: %s", ch.IOErrno, ch.IOError)
	}
	if ch.SQLError != "" {
		broken += fmt.Sprintf("; SQL error %d: %s", ch.SQLErrno, ch.SQLError)
	}
	start := fmt.Sprintf("START %s;", k.conn.dialect.replica)
	switch {
	case k.isActive():
		k.warn(item, text+": this server is active, and the agent starts it once it has compared the other one"+broken,
			"# nothing by hand: mmm-status says what keeps it stopped")
	case k.options.Active == "":
		k.fail(item, text+": no failover can lead here"+broken, "# find out which server is active (mmm-status); on the other one: "+start)
	case broken != "":
		k.fail(item, text+": no failover can lead here"+broken, "# mend what the error names, then: "+start)
	case ch.IO != cluster.ThreadNo && ch.SQL == cluster.ThreadYes:
		k.fail(item, text+": it receives nothing, so that no failover can lead here", "# see that this host reaches "+string(ch.Source))
	default:
		k.fail(item, text+": no failover can lead here", start+"\n# mmm-status says whether an agent or a pause keeps it stopped")
	}
}

// rebuild is the way out of quarantine.
func (k *checker) rebuild() string {
	tool := "CLONE"
	if k.conn.version.flavor == cluster.MariaDB {
		tool = "mariadb-backup"
	}
	return "# do not start replication, in either direction; carry over by hand what is worth keeping\n" +
		"# mmmctl rejoin --node " + string(k.conn.node.opts.Addr) + " --discard gives up the rest; where that is refused,\n" +
		"# rebuild this server from the active (" + tool + "), set its position to the backup's,\n" +
		"# point its channel to the active and start it with read_only=1: the agent goes on from there"
}

// change words a new setting of the channel.
func (k *checker) change(settings []string, start bool) string {
	verb, prefix := "CHANGE MASTER TO", "MASTER_"
	if k.conn.dialect.replica == "REPLICA" {
		verb, prefix = "CHANGE REPLICATION SOURCE TO", "SOURCE_"
	}
	var full []string
	for _, s := range append(settings, "HEARTBEAT_PERIOD=1") {
		full = append(full, prefix+s)
	}
	fix := fmt.Sprintf("STOP %s; %s %s;", k.conn.dialect.replica, verb, strings.Join(full, ", "))
	if start {
		fix += fmt.Sprintf(" START %s;", k.conn.dialect.replica)
	}
	return fix
}

// channelSettings looks at the settings of the channel and returns those to
// change besides the heartbeat period, without the prefix of the flavour.
func (k *checker) channelSettings(ch cluster.Channel, status result) (settings []string) {
	if ch.GTID {
		k.ok("GTID position", "the channel positions itself by GTID")
	} else {
		k.fail("GTID position", "the channel positions itself by file and offset", "")
		if k.conn.version.flavor == cluster.MariaDB {
			settings = append(settings, "USE_GTID=slave_pos")
		} else {
			settings = append(settings, "AUTO_POSITION=1")
		}
	}

	r, _ := unnamed(status)
	count, shown := r.integer("Master_Retry_Count", "Source_Retry_Count")
	if _, text, ok := k.setting("master_retry_count"); ok && !shown {
		n, err := strconv.ParseInt(text, 10, 64)
		count, shown = n, err == nil
	}
	switch {
	case !shown:
		k.ok("connection retries", "not shown by this release; the default is 86400 or more")
	case count != 0 && count < safeRetries:
		k.warn("connection retries", fmt.Sprintf("after %d failed attempts the IO thread stops for good", count), "")
		settings = append(settings, fmt.Sprintf("RETRY_COUNT=%d", safeRetries))
	default:
		k.ok("connection retries", strconv.FormatInt(count, 10))
	}
	if pause, ok := r.integer("Connect_Retry"); ok && pause > maxReconnect {
		k.warn("pause between retries", fmt.Sprintf("%d s: that long after the source is back replication still rests", pause), "")
		settings = append(settings, "CONNECT_RETRY=2")
	} else if ok {
		k.ok("pause between retries", fmt.Sprintf("%d s", pause))
	}

	switch seconds := float64(ch.HeartbeatPeriodMS) / 1000; {
	case ch.HeartbeatPeriodMS == 0:
		k.unknown("heartbeat period", "the server does not show it, or heartbeats are off", "")
	case seconds > maxHeartbeat:
		k.warn("heartbeat period", fmt.Sprintf("%g s: that long a silent source is not told from an idle one", seconds), "")
	default:
		k.ok("heartbeat period", fmt.Sprintf("%g s", seconds))
	}
	return settings
}

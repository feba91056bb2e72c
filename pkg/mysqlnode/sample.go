package mysqlnode

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Observe takes a full sample in one round trip. Sessions of the users in
// exclude are not counted, nor are those that certainly replicate: see countSessions. An
// epoch row that cannot be read is a zero mark; like heartbeats that are
// refused, it is then left out of the samples of the next 5 s.
func (c *Conn) Observe(ctx context.Context, exclude []string) (cluster.Server, error) {
	const op = "observe"
	sample, uid := c.dialect.sample, c.dialect.uid
	if !c.unknown[uid] {
		sample += uid
	}
	got, err := c.channelBatch(ctx, op, []string{sample, statusQuery, processQuery}, c.markQuery())
	if number(err) == errUnknownVariable && len(got) == 0 && sample != c.dialect.sample {
		c.disown(uid)
		return c.Observe(ctx, exclude)
	}
	if err != nil {
		return cluster.Server{}, err
	}
	var mark cluster.Mark
	if last := len(got) - 1; last >= 0 && got[last].has("epoch") {
		if mark, err = readMark(got[last]); err != nil {
			return cluster.Server{}, c.fault(op, err)
		}
		got = got[:last]
	}
	if len(got) < 4 || len(got[0].rows) != 1 {
		return cluster.Server{}, c.fault(op, errors.New("the server left statements unanswered"))
	}
	vars, status := got[0].row(0), got[1].pairs()
	s := cluster.Server{
		Flavor:             c.version.flavor,
		Version:            c.version.text,
		Identity:           vars.text("identity"),
		UID:                vars.text("uid"),
		ReadOnly:           tri(vars, "read_only"),
		SuperReadOnly:      tri(vars, "super_read_only"),
		GTIDMode:           strings.EqualFold(vars.text("gtid_mode"), "ON"),
		LogsReplicaUpdates: on(vars.text("log_bin")) && on(vars.text("log_updates")),
		Executed:           join(vars.text("executed"), vars.text("applied")),
		Purged:             join(vars.text("purged")),
		Channel:            readChannel(c.version.flavor, got[3:], status),
		Mark:               mark,
		Acks:               readAcks(status),
	}
	s.UptimeS, _ = strconv.ParseInt(status["uptime"], 10, 64)
	list := c.sessions(got[2])
	s.Sessions, s.SharedSessions, s.Users = countSessions(list, exclude, c.replicaUsers(list, s.Channel.User), status["threads_connected"])
	return s, nil
}

// Channel takes the light sample: the status of the replication channel with its heartbeats.
func (c *Conn) Channel(ctx context.Context) (cluster.Channel, error) {
	ch, _, err := c.light(ctx, "read the replication channel of")
	return ch, err
}

// Glance is ReadOnly and Channel in one round trip.
func (c *Conn) Glance(ctx context.Context) (readOnly, superReadOnly cluster.Tri, ch cluster.Channel, err error) {
	const op = "read read_only and the replication channel of"
	ch, before, err := c.light(ctx, op, c.dialect.readOnly())
	if err != nil {
		return cluster.Unknown, cluster.Unknown, ch, err
	}
	if len(before[0].rows) != 1 {
		return cluster.Unknown, cluster.Unknown, ch, c.fault(op, errors.New("the server gave no row"))
	}
	vars := before[0].row(0)
	return tri(vars, "read_only"), tri(vars, "super_read_only"), ch, nil
}

// light reads the channel after statements that give one result each.
func (c *Conn) light(ctx context.Context, op string, statements ...string) (ch cluster.Channel, before []result, err error) {
	n := len(statements)
	apart := c.version.flavor == cluster.MySQL && c.dialect.heartbeats == ""
	if apart {
		statements = append(statements, statusQuery)
	}
	got, err := c.channelBatch(ctx, op, statements, "")
	if err != nil {
		return ch, nil, err
	}
	if len(got) <= len(statements) {
		return ch, nil, c.fault(op, errors.New("the server left statements unanswered"))
	}
	var status map[string]string
	if apart {
		status = got[n].pairs()
	}
	return readChannel(c.version.flavor, got[len(statements):], status), got[:n], nil
}

// ReadOnly reads read_only and, where it exists, super_read_only.
func (c *Conn) ReadOnly(ctx context.Context) (readOnly, superReadOnly cluster.Tri, err error) {
	const op = "read read_only of"
	got, err := c.query(ctx, op, c.dialect.readOnly())
	if err != nil {
		return cluster.Unknown, cluster.Unknown, err
	}
	if len(got) != 1 || len(got[0].rows) != 1 {
		return cluster.Unknown, cluster.Unknown, c.fault(op, errors.New("the server gave no row"))
	}
	vars := got[0].row(0)
	return tri(vars, "read_only"), tri(vars, "super_read_only"), nil
}

// channelBatch runs statements, then those that show the channel: the status
// and, where it is apart and we may read it, the heartbeats; then the one that
// reads the mark, if any, which may fail. Wordings that the server does not
// know are not used again, and what is optional and refused not for a while, so
// that the next sample is one round trip again. With an error come the results before it.
func (c *Conn) channelBatch(ctx context.Context, op string, statements []string, mark string) ([]result, error) {
	for {
		batch := slices.Clone(statements)
		wording := c.status()
		batch = append(batch, wording)
		heartbeats := c.dialect.heartbeats
		if heartbeats != "" && !time.Now().Before(c.heartbeatsAfter) {
			batch = append(batch, heartbeats)
		}
		last := len(batch)
		if mark != "" {
			batch = append(batch, mark)
		}
		got, err := c.query(ctx, op, batch...)
		if err == nil {
			return got, nil
		}
		n := number(err)
		switch at := len(got); {
		case mark != "" && at == last && n != 0:
			c.markAfter = time.Now().Add(optionalAgain)
			return got, nil
		case at == len(statements) && unknownWording(n) && c.status() != c.dialect.status[len(c.dialect.status)-1]:
			c.disown(wording)
		case at == len(statements)+1 && (unknownWording(n) || refused(n)):
			c.heartbeatsAfter = time.Now().Add(optionalAgain)
		default:
			return got, err
		}
	}
}

// status is the first wording that the server is not known not to know.
func (c *Conn) status() string {
	for _, w := range c.dialect.status {
		if !c.unknown[w] {
			return w
		}
	}
	return c.dialect.status[len(c.dialect.status)-1]
}

func (c *Conn) disown(wording string) {
	if c.unknown == nil {
		c.unknown = map[string]bool{}
	}
	c.unknown[wording] = true
}

// readChannel reads the unnamed channel of a status result; others are no
// business of this pair. extra holds the channels and perhaps the heartbeats,
// status is for releases that tell the heartbeats there.
func readChannel(f cluster.Flavor, extra []result, status map[string]string) cluster.Channel {
	ch := cluster.Channel{Delay: -1}
	r, found := unnamed(extra[0])
	if !found {
		return ch
	}
	ch.Configured = true
	ch.Source = cluster.Endpoint(net.JoinHostPort(r.text("Master_Host", "Source_Host"), r.text("Master_Port", "Source_Port")))
	ch.User = r.text("Master_User", "Source_User")
	ch.IO = cluster.Thread(r.text("Slave_IO_Running", "Replica_IO_Running"))
	ch.SQL = cluster.Thread(r.text("Slave_SQL_Running", "Replica_SQL_Running"))
	if f == cluster.MariaDB {
		if id := r.text("Master_Server_Id"); id != "0" {
			ch.SourceIdentity = id
		}
		mode := r.text("Using_Gtid")
		ch.GTID = mode != "" && !strings.EqualFold(mode, "No")
	} else {
		ch.SourceIdentity = r.text("Master_UUID", "Source_UUID")
		ch.GTID = on(r.text("Auto_Position"))
	}
	ch.Received = join(r.text("Gtid_IO_Pos", "Retrieved_Gtid_Set"))
	if d, ok := r.integer("Seconds_Behind_Master", "Seconds_Behind_Source"); ok {
		ch.Delay = d
	}
	n, _ := r.integer("Last_IO_Errno")
	ch.IOErrno, ch.IOError = int(n), r.text("Last_IO_Error")
	n, _ = r.integer("Last_SQL_Errno")
	ch.SQLErrno, ch.SQLError = int(n), r.text("Last_SQL_Error")

	count, period := r.text("Slave_received_heartbeats"), r.text("Slave_heartbeat_period")
	if len(extra) > 1 && len(extra[1].rows) > 0 {
		h := extra[1].row(0)
		count, period = h.text("Slave_received_heartbeats"), h.text("Slave_heartbeat_period")
	}
	if count == "" {
		count, period = status["slave_received_heartbeats"], status["slave_heartbeat_period"]
	}
	ch.Heartbeats, _ = strconv.ParseUint(count, 10, 64)
	if seconds, err := strconv.ParseFloat(period, 64); err == nil {
		ch.HeartbeatPeriodMS = int64(math.Round(seconds * 1000))
	}
	return ch
}

// unnamed finds the row of the unnamed channel.
func unnamed(status result) (row, bool) {
	for i := range status.rows {
		if r := status.row(i); r.text("Connection_name", "Channel_Name") == "" {
			return r, true
		}
	}
	return row{}, false
}

// tri reads a boolean column that may not exist.
func tri(r row, name string) cluster.Tri {
	v, ok := r.get(name)
	if !ok || !v.set {
		return cluster.Unknown
	}
	return cluster.TriOf(on(v.text))
}

// join puts positions together with commas, without the line breaks that MySQL prints.
func join(positions ...string) string {
	var parts []string
	for _, p := range positions {
		if p = strings.Join(strings.Fields(p), ""); p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ",")
}

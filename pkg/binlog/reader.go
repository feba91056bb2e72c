package binlog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Options say which server it is and how to log in.
type Options struct {
	Addr     cluster.Endpoint
	Flavor   cluster.Flavor
	User     string
	Password cluster.Secret
	// Logs are the server's binary logs, the oldest first.
	Logs []cluster.BinaryLog
	// Rows is how many changes there is room for; of those after them there is only the number.
	Rows int
}

// encryptedHeader is by how many bytes MySQL lists a log longer than its events where it encrypts it.
const encryptedHeader = 512

// Reader reads the logs of one server.
type Reader struct{ opts Options }

// New makes a reader; nothing is connected yet.
func New(o Options) *Reader { return &Reader{opts: o} }

// Read gives each every transaction in the logs from the newest log on before which
// there was nothing that matters, up to the end that Options names. known is asked of
// the position with which a log begins. What each does not keep leaves its room to the
// next. complete is false when the oldest log of the server begins too late.
func (r *Reader) Read(ctx context.Context, known func(position string) (bool, error), each func(cluster.Transaction) (kept bool, err error)) (complete bool, err error) {
	logs := r.opts.Logs
	if len(logs) == 0 {
		return false, r.fault(errors.New("it has none"))
	}
	for at := len(logs) - 1; ; at-- {
		before, err := r.begins(ctx, logs[at])
		if err != nil {
			return false, r.fault(err)
		}
		if complete, err = known(before); err != nil {
			return false, r.fault(err)
		}
		if complete || at == 0 {
			if err := r.from(ctx, logs[at:], each); err != nil {
				return false, r.fault(err)
			}
			return complete, nil
		}
	}
}

func (r *Reader) fault(err error) error {
	return fmt.Errorf("read the binary logs of %s: %w", r.opts.Addr, err)
}

// begins is the position with which a log begins.
func (r *Reader) begins(ctx context.Context, log cluster.BinaryLog) (string, error) {
	position, found := "", false
	err := r.stream(ctx, []cluster.BinaryLog{log}, func(e *replication.BinlogEvent) (bool, error) {
		switch ev := e.Event.(type) {
		case *replication.PreviousGTIDsEvent:
			position, found = ev.GTIDSets, true
		case *replication.MariadbGTIDListEvent:
			found = true
			for i, g := range ev.GTIDs {
				if i > 0 {
					position += ","
				}
				position += g.String()
			}
		}
		return found, nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%s does not say with which position it begins", log.Name)
	}
	return position, err
}

func (r *Reader) from(ctx context.Context, logs []cluster.BinaryLog, each func(cluster.Transaction) (kept bool, err error)) error {
	g := gathering{rows: r.opts.Rows, each: each}
	if err := r.stream(ctx, logs, func(e *replication.BinlogEvent) (bool, error) { return false, g.take(e) }); err != nil {
		return err
	}
	return g.end()
}

// stream gives take every event from the beginning of the first log to the end of the
// last, or until take has enough.
func (r *Reader) stream(ctx context.Context, logs []cluster.BinaryLog, take func(*replication.BinlogEvent) (enough bool, err error)) error {
	// Over TLS where the server has it, as all other sessions.
	syncer, events, err := r.open(logs[0], &tls.Config{InsecureSkipVerify: true})
	if err != nil && strings.Contains(err.Error(), noTLS) {
		syncer, events, err = r.open(logs[0], nil)
	}
	if err != nil {
		return err
	}
	defer syncer.Close()
	name, last := logs[0].Name, logs[len(logs)-1]
	for {
		e, err := events.GetEvent(ctx)
		if err != nil {
			return err
		}
		rotate, rotates := e.Event.(*replication.RotateEvent)
		if !rotates || e.Header.Timestamp != 0 {
			if enough, err := take(e); enough || err != nil {
				return err
			}
		}
		switch {
		case rotates && e.Header.Timestamp != 0 && name == last.Name:
			return nil
		case rotates:
			name = string(rotate.NextLogName)
		case name == last.Name && uint64(e.Header.LogPos) >= last.Size:
			return nil
		case name == last.Name && e.Header.EventType == replication.HEARTBEAT_EVENT && uint64(e.Header.LogPos)+encryptedHeader >= last.Size:
			return nil // nothing more is there to be sent
		}
	}
}

// noTLS is in what the library says of a server without TLS; anything else that
// keeps it from TLS is no reason to do without.
const noTLS = "does not support TLS"

func (r *Reader) open(log cluster.BinaryLog, t *tls.Config) (*replication.BinlogSyncer, *replication.BinlogStreamer, error) {
	var number [4]byte
	if _, err := rand.Read(number[:]); err != nil {
		return nil, nil, err
	}
	var dial client.Dialer
	if t == nil {
		dial = dialDiscreetly
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		// A number that another replica has would end its session.
		ServerID: binary.LittleEndian.Uint32(number[:]) | 1<<31,
		Flavor:   string(r.opts.Flavor), Host: r.opts.Addr.Host(), Port: uint16(r.opts.Addr.Port()),
		User: r.opts.User, Password: r.opts.Password.Reveal(), TLSConfig: t, Dialer: dial,
		TimestampStringLocation: time.UTC, DisableRetrySync: true, VerifyChecksum: true,
		HeartbeatPeriod: time.Second, ReadTimeout: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler), EventCacheCount: 128,
	})
	events, err := syncer.StartSync(mysql.Position{Name: log.Name, Pos: 4})
	if err != nil {
		syncer.Close()
		return nil, nil, err
	}
	return syncer, events, nil
}

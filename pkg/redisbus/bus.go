package redisbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const (
	defaultTimeout = time.Second
	poolSize       = 8
	bufferSize     = 16 << 10
)

// Options says which Redis to use, and how.
type Options struct {
	Addr     string // host:port; not used with Sentinels
	Username string
	Password cluster.Secret
	// TLS encrypts connections, to the sentinels too. The names in certificates are
	// checked, by the authorities in CA (PEM) or else by those of the system.
	TLS bool
	CA  string
	// Sentinels, each host:port, name the server that is master of MasterName.
	Sentinels        []string
	MasterName       string
	SentinelPassword cluster.Secret
	// Topic is the predecessor's channel; without one nothing is announced on it.
	Topic string
	// Name is what CLIENT LIST shows; blanks in it become dashes.
	Name string
	// Refused, unless nil, is told why Redis refuses a subscription, each reason once.
	Refused func(error)
	// DialTimeout and ReadTimeout bound each dial and each answer; 0 means 1 s.
	DialTimeout, ReadTimeout time.Duration
}

// Bus is one process's access to Redis. It connects when first used and again
// whenever needed; all methods may be called by many goroutines at once, and
// each is bounded by the timeouts of Options as well as by its context.
type Bus struct {
	client   *redis.Client
	together *together
	addr     string
	topic    string
	// sentinels is nil where Redis has one fixed address.
	sentinels *sentinels
	refused   func(error)

	closed context.Context
	close  context.CancelFunc
	subs   sync.WaitGroup

	mu sync.Mutex
	// tokens are those under which this process took a leader's lease.
	tokens map[holding]uint64
	// layouts are of the pairs that were read.
	layouts map[cluster.UniqSign]layout
	noPlain atomic.Pointer[error] // why Redis denies what plain needs
}

// quiet keeps go-redis from writing to stderr; whatever matters comes back as an error.
var quiet = sync.OnceFunc(logging.Disable)

// New returns a bus to the Redis that o names; it does not connect yet.
func New(o Options) *Bus {
	quiet()
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultTimeout
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = defaultTimeout
	}
	b := &Bus{addr: o.Addr, topic: o.Topic, refused: o.Refused, tokens: map[holding]uint64{}, layouts: map[cluster.UniqSign]layout{}}
	b.closed, b.close = context.WithCancel(context.Background())
	own := clientOptions(o)
	if len(o.Sentinels) == 0 {
		own.Dialer = newDialer(o).fixed()
	} else {
		b.sentinels = newSentinels(o)
		b.subs.Go(func() { b.sentinels.run(b.closed) })
		own.Dialer = answering(b.sentinels.dial)
	}
	b.client = redis.NewClient(own)
	b.together = newTogether(b.closed, b.client)
	return b
}

func clientOptions(o Options) *redis.Options {
	return &redis.Options{
		Addr:                     o.Addr,
		Username:                 o.Username,
		Password:                 o.Password.Reveal(),
		ClientName:               strings.Join(strings.Fields(o.Name), "-"),
		DialTimeout:              o.DialTimeout,
		DialerRetries:            1,
		ReadTimeout:              o.ReadTimeout,
		WriteTimeout:             o.ReadTimeout,
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		Protocol:                 2,
		DisableIdentity:          true,
		PoolSize:                 poolSize,
		PipelinePoolSize:         -1,
		ReadBufferSize:           bufferSize,
		WriteBufferSize:          bufferSize,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// where is the address that errors name.
func (b *Bus) where() string {
	if b.sentinels == nil {
		return b.addr
	}
	if addr := b.sentinels.addr(); addr != "" {
		return addr + ", master of " + b.sentinels.name
	}
	return "master of " + b.sentinels.name
}

// Close ends all subscriptions and connections.
func (b *Bus) Close() error {
	b.close()
	err := b.client.Close() // whoever waits for an answer is released
	b.subs.Wait()
	if b.sentinels != nil {
		b.sentinels.close()
	}
	return b.wrap("close", err)
}

// Ping makes one round trip.
func (b *Bus) Ping(ctx context.Context) error {
	cmd := b.client.Ping(ctx)
	return b.checkCmds("ping", cmd.Err(), cmd)
}

// TryWrite tells why Redis takes no writes, nil when it does. It changes nothing: it
// sets what no pair can have, if that is there.
func (b *Bus) TryWrite(ctx context.Context) error {
	cmd := b.client.SetXX(ctx, keysOf("").pause(), "", 0)
	return b.checkCmds("write anything", cmd.Err(), cmd)
}

// RunID is the identity of the running Redis process: it changes with each
// restart and with a failover to another server.
func (b *Bus) RunID(ctx context.Context) (string, error) {
	const op = "read run_id"
	var said *redis.StringCmd
	_, err := b.pipelined(ctx, func(pipe redis.Pipeliner) { said = pipe.Info(ctx, "server") })
	if err != nil {
		return "", b.wrap(op, err)
	}
	text, err := said.Result()
	if err != nil {
		return "", b.wrap(op, err)
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok && id != "" {
			return id, nil
		}
	}
	return "", b.wrap(op, errors.New("INFO server has no run_id"))
}

// run runs a script whose answer is an array of strings, the first a word that
// says how it went. Refusals that every script shares come back as errors.
func (b *Bus) run(ctx context.Context, op string, s *script, keys []string, args ...any) ([]string, error) {
	return b.answer(op, s, s.Run(ctx, b.client, keys, args...))
}

// runTogether is run in a round trip with whatever else waits for one.
func (b *Bus) runTogether(ctx context.Context, op string, s *script, keys []string, args ...any) ([]string, error) {
	said, err := b.evalTogether(ctx, s, keys, args...)
	if err != nil {
		return nil, b.wrap(op, err)
	}
	return b.answer(op, s, said)
}

// evalTogether gives the whole answer of a script.
func (b *Bus) evalTogether(ctx context.Context, s *script, keys []string, args ...any) (said *redis.Cmd, err error) {
	_, err = b.pipelined(ctx, func(pipe redis.Pipeliner) { said = s.EvalSha(ctx, pipe, keys, args...) })
	if err != nil {
		return nil, err
	}
	if redis.HasErrorPrefix(said.Err(), "NOSCRIPT") {
		said = s.Eval(ctx, b.client, keys, args...)
	}
	return said, nil
}

// answer is what a script has answered.
func (b *Bus) answer(op string, s *script, said *redis.Cmd) ([]string, error) {
	answer, err := said.StringSlice()
	if err != nil {
		if names := s.commands(err); names != "" && isDenied(err.Error()) {
			err = fmt.Errorf("%s: %w", names, err)
		}
		return nil, b.wrap(op, err)
	}
	at := func(i int) string {
		if i < len(answer) {
			return answer[i]
		}
		return ""
	}
	switch at(0) {
	case "type":
		return nil, b.wrap(op, &WrongTypeError{Key: at(1), Found: at(2), Want: at(3)})
	case "value":
		return nil, b.wrap(op, &ValueError{Key: at(1), Text: at(2)})
	case "denied":
		return nil, b.wrap(op, fmt.Errorf("the ACL of this user does not allow %s on %s; nothing was written (%s)", at(1), at(2), rulesHint))
	case "notleader":
		if at(1) == "" {
			return nil, fmt.Errorf("%s: %w: nobody holds the lease, the last token is %s", op, ErrNotLeader, at(2))
		}
		return nil, fmt.Errorf("%s: %w: %s holds the lease with token %s", op, ErrNotLeader, at(1), at(2))
	case "":
		return nil, b.wrap(op, errors.New("the script gave no answer"))
	}
	return answer, nil
}

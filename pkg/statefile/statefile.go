package statefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"syscall"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Errors that callers tell apart.
var (
	// ErrInUse: another process writes the file.
	ErrInUse = errors.New("another process uses it")
	// ErrCorrupt: the file could not be understood and was moved aside.
	ErrCorrupt = errors.New("it cannot be understood and was moved aside")
	// ErrUnread: the lock was given up by another process, whose content has to be loaded first.
	ErrUnread = errors.New("it was written by another process and has to be read first")
)

// format is the newest form of the file that this package writes.
const format = 1

// File is the memory of one agent on disk. It is safe for use by several goroutines.
type File struct {
	path string

	mu     sync.Mutex
	lock   *os.File // held while open
	loaded bool     // read since the lock was taken
	top    fields
	pairs  map[cluster.UniqSign]pair
}

// pair is what the file holds of one pair.
type pair struct {
	members fields
	memory  cluster.Memory // what of that is known
	text    []byte         // members as they are written
}

// fields are an object's members as they stand in the file.
type fields map[string]json.RawMessage

// New names the file; nothing is touched yet.
func New(path string) *File { return &File{path: path} }

// Path is the name of the file.
func (f *File) Path() string { return f.path }

// Load takes the lock and reads the file. What could be read is returned beside
// any error: with ErrInUse everything, with ErrCorrupt nothing. A file that does
// not exist is an empty one.
func (f *File) Load() (map[cluster.UniqSign]cluster.Memory, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	locked := f.takeLock()
	all, err := f.read()
	if err == nil {
		f.loaded = locked == nil
	}
	if errors.Is(err, ErrCorrupt) && locked == nil {
		f.loaded = true
		aside := f.path + ".corrupt"
		if moved := os.Rename(f.path, aside); moved != nil {
			return nil, fmt.Errorf("read state file: %w", errors.Join(err, moved))
		}
		return nil, fmt.Errorf("read state file %s, now %s: %w", f.path, aside, err)
	}
	if err = errors.Join(locked, err); err != nil {
		return all, fmt.Errorf("load state file %s: %w", f.path, err)
	}
	return all, nil
}

func (f *File) read() (map[cluster.UniqSign]cluster.Memory, error) {
	f.top, f.pairs = nil, nil
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	corrupt := func(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }
	var top fields
	var pairs map[cluster.UniqSign]fields
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, corrupt(err)
	}
	if err := json.Unmarshal(top["pairs"], &pairs); err != nil {
		return nil, corrupt(fmt.Errorf("pairs: %w", err))
	}
	all, held := map[cluster.UniqSign]cluster.Memory{}, map[cluster.UniqSign]pair{}
	for u, members := range pairs {
		whole, err := json.Marshal(members)
		if err != nil {
			return nil, corrupt(err)
		}
		var m cluster.Memory
		if err := json.Unmarshal(whole, &m); err != nil {
			return nil, corrupt(fmt.Errorf("pair %s: %w", u, err))
		}
		if e := m.Record.Epoch; e > cluster.MaxEpoch {
			return nil, corrupt(fmt.Errorf("pair %s: no pair gets to epoch %d", u, e))
		}
		if held[u], err = newPair(members, m); err != nil {
			return nil, corrupt(err)
		}
		all[u] = m
	}
	delete(top, "pairs")
	f.top, f.pairs = top, held
	return all, nil
}

// Save puts the memory of all pairs in place of what the file holds of them;
// pairs that it does not name stay. It is on disk when Save returns nil.
func (f *File) Save(all map[cluster.UniqSign]cluster.Memory) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.save(all); err != nil {
		return fmt.Errorf("write state file %s: %w", f.path, err)
	}
	return nil
}

func (f *File) save(all map[cluster.UniqSign]cluster.Memory) error {
	if err := f.takeLock(); err != nil {
		return err
	}
	if !f.loaded {
		return ErrUnread
	}
	pairs := map[cluster.UniqSign]pair{}
	maps.Copy(pairs, f.pairs)
	for u, m := range all {
		old, held := pairs[u]
		if held && reflect.DeepEqual(old.memory, m) {
			continue // of thousands few change at a time
		}
		members, err := merge(old.members, m)
		if err != nil {
			return err
		}
		if pairs[u], err = newPair(members, m); err != nil {
			return err
		}
	}
	top, err := merge(f.top, struct {
		Format int `json:"format"`
	}{format})
	if err != nil {
		return err
	}
	data, err := document(top, pairs)
	if err != nil {
		return err
	}
	if err := replace(f.path, data); err != nil {
		return err
	}
	f.top, f.pairs = top, pairs
	return nil
}

func newPair(members fields, m cluster.Memory) (pair, error) {
	text, err := json.MarshalIndent(members, "    ", "  ")
	return pair{members, m.Clone(), text}, err
}

// document is the whole file, indented by two blanks.
func document(top fields, pairs map[cluster.UniqSign]pair) ([]byte, error) {
	var b bytes.Buffer
	name := func(level, of string) error {
		text, err := json.Marshal(of)
		fmt.Fprintf(&b, "%s%s: ", level, text)
		return err
	}
	b.WriteByte('{')
	for _, key := range slices.Sorted(maps.Keys(top)) {
		b.WriteByte('\n')
		if err := name("  ", key); err != nil {
			return nil, err
		}
		if err := json.Indent(&b, top[key], "  ", "  "); err != nil {
			return nil, err
		}
		b.WriteByte(',')
	}
	b.WriteString("\n  \"pairs\": {")
	for i, u := range slices.Sorted(maps.Keys(pairs)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		if err := name("    ", string(u)); err != nil {
			return nil, err
		}
		b.Write(pairs[u].text)
	}
	if len(pairs) > 0 {
		b.WriteString("\n  ")
	}
	b.WriteString("}\n}\n")
	return b.Bytes(), nil
}

// merge puts the members of known, and what they leave out as empty, in place
// of those of old.
func merge(old fields, known any) (fields, error) {
	data, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	var members fields
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	merged := maps.Clone(old)
	if merged == nil {
		merged = fields{}
	}
	if _, ok := known.(cluster.Memory); ok {
		delete(merged, "locked")
		delete(merged, "learned")
	}
	maps.Copy(merged, members)
	return merged, nil
}

// replace writes a file so that it holds the old content or the new one whenever
// the machine stops.
func replace(path string, data []byte) (err error) {
	temp := path + ".tmp"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	_, err = bytes.NewReader(data).WriteTo(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return flushFolder(filepath.Dir(path))
}

func flushFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeLock takes the lock unless it is held, and makes the folder when it is missing.
func (f *File) takeLock() error {
	if f.lock != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("lock %s.lock: %w", f.path, err)
	}
	f.lock, f.loaded = file, false
	return nil
}

// Close gives the lock up; the file stays.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock == nil {
		return nil
	}
	file := f.lock
	f.lock, f.loaded = nil, false
	return file.Close()
}

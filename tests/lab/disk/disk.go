package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrFrozen is what every operation on a frozen disk but Thaw, Repair and Close returns.
var ErrFrozen = errors.New("it is frozen")

const (
	blockSize = 4096
	// ballast takes all the room of a full disk.
	ballast = ".ballast"
	// busyFor bounds the wait for those who still use a disk that is unmounted.
	busyFor  = 5 * time.Second
	busyPoll = 20 * time.Millisecond
)

// Disk is an ext4 file system in an image, mounted by a loop device.
type Disk struct {
	// Freezer asks the thawer; without one Freeze is refused.
	Freezer *Freezer

	image, mountpoint string
	device            uint64 // of the mounted file system
	loop              string
	turn              chan struct{} // taken by who works on the disk
	freeze            *freeze       // the last one
}

// New makes an image of the given size, at least 16 MB, and mounts it; both
// paths must not be in use, and the root of the file system belongs to uid and gid.
func New(ctx context.Context, image, mountpoint string, bytes int64, uid, gid int) (*Disk, error) {
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make disk %s: %w", image, err)
	}
	err = errors.Join(f.Truncate(bytes), f.Close())
	if err == nil {
		err = run(ctx, "mkfs.ext4", "-q", "-F", "-b", strconv.Itoa(blockSize), "-m", "0", "-J", "size=4",
			"-e", "remount-ro", "-E", fmt.Sprintf("root_owner=%d:%d,lazy_itable_init=0", uid, gid), image)
	}
	if err == nil {
		err = os.MkdirAll(mountpoint, 0o755)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make disk %s: %w", image, err), os.Remove(image))
	}
	d := &Disk{image: image, mountpoint: mountpoint, turn: make(chan struct{}, 1)}
	if err := d.mount(ctx); err != nil {
		return nil, errors.Join(err, os.Remove(image))
	}
	return d, nil
}

// Mountpoint is where the disk is mounted.
func (d *Disk) Mountpoint() string { return d.mountpoint }

// Sync has everything that was written be on the disk.
func (d *Disk) Sync(ctx context.Context) error {
	end, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("sync disk %s: %w", d.mountpoint, err)
	}
	defer end()
	root, err := os.Open(d.mountpoint)
	if err != nil {
		return fmt.Errorf("sync disk: %w", err)
	}
	defer root.Close()
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return fmt.Errorf("sync disk %s: %w", d.mountpoint, err)
	}
	return nil
}

func (d *Disk) mount(ctx context.Context) error {
	// A loop device that mount has made clears itself when its last user is gone.
	if err := run(ctx, "mount", "-t", "ext4", "-o", "loop,noatime", d.image, d.mountpoint); err != nil {
		return fmt.Errorf("mount disk %s: %w", d.mountpoint, err)
	}
	var st unix.Stat_t
	err := unix.Stat(d.mountpoint, &st)
	if err == nil {
		d.device = st.Dev
		d.loop, err = os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("find the device of disk %s: %w", d.mountpoint, err), unix.Unmount(d.mountpoint, unix.MNT_DETACH))
	}
	d.loop = "/dev/" + filepath.Base(d.loop)
	return nil
}

// begin waits for the caller's turn; operations that would hang on a frozen disk are refused.
func (d *Disk) begin(ctx context.Context) (end func(), err error) {
	end, err = d.enter(ctx)
	if err == nil && d.freeze.frozen() {
		end()
		return nil, ErrFrozen
	}
	return end, err
}

func (d *Disk) enter(ctx context.Context) (end func(), err error) {
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Fill takes the last block that an ordinary user could have. Files grow within
// blocks that they have, and who then removes one makes room again.
func (d *Disk) Fill(ctx context.Context) error {
	end, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("fill disk %s: %w", d.mountpoint, err)
	}
	defer end()
	f, err := os.OpenFile(filepath.Join(d.mountpoint, ballast), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(fill(ctx, f), f.Close())
	}
	if err != nil {
		return fmt.Errorf("fill disk %s: %w", d.mountpoint, err)
	}
	return nil
}

func fill(ctx context.Context, f *os.File) error {
	for {
		grown := false
		for chunk := int64(1 << 30); chunk >= blockSize && ctx.Err() == nil; {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			switch err = unix.Fallocate(int(f.Fd()), 0, info.Size(), chunk); err {
			case nil:
				grown = true
			case unix.ENOSPC:
				chunk /= 2
			case unix.EINTR:
			default:
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !grown {
			return nil
		}
		// What was freed just now can be had when the journal has it.
		if err := unix.Syncfs(int(f.Fd())); err != nil {
			return err
		}
	}
}

// Empty gives back what Fill took.
func (d *Disk) Empty(ctx context.Context) error {
	end, err := d.begin(ctx)
	if err == nil {
		defer end()
		err = os.Remove(filepath.Join(d.mountpoint, ballast))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("empty disk %s: %w", d.mountpoint, err)
	}
	return nil
}

// Freeze stops all writing for the given time, at most MaxFreeze, and returns
// when it has stopped.
func (d *Disk) Freeze(ctx context.Context, duration time.Duration) error {
	end, err := d.begin(ctx)
	if err == nil {
		defer end()
		switch {
		case d.Freezer == nil:
			err = errors.New("there is no thawer")
		default:
			d.freeze, err = d.Freezer.freeze(ctx, d.mountpoint, duration)
		}
	}
	if err != nil {
		return fmt.Errorf("freeze disk %s: %w", d.mountpoint, err)
	}
	return nil
}

// Thaw ends a freeze before its time; a disk that is not frozen stays as it is.
func (d *Disk) Thaw(ctx context.Context) error {
	end, err := d.enter(ctx)
	if err == nil {
		defer end()
		err = d.freeze.thaw(ctx)
	}
	if err != nil {
		return fmt.Errorf("thaw disk %s: %w", d.mountpoint, err)
	}
	return nil
}

// Abort ends the journal, as an I/O error does: from now on every write fails
// with EROFS or EIO, in open files too.
func (d *Disk) Abort(ctx context.Context) error {
	end, err := d.begin(ctx)
	if err == nil {
		defer end()
		err = unix.Mount("", d.mountpoint, "", unix.MS_REMOUNT|unix.MS_NOATIME, "abort")
	}
	if err != nil {
		return fmt.Errorf("abort disk %s: %w", d.mountpoint, err)
	}
	return nil
}

// Repair unmounts the disk, checks it, and mounts it at the same place, when
// nobody uses it any more; the error names those who do.
func (d *Disk) Repair(ctx context.Context) error {
	end, err := d.enter(ctx)
	if err == nil {
		defer end()
		err = d.freeze.thaw(ctx)
	}
	if err == nil {
		err = d.unmount(ctx)
	}
	if err == nil {
		err = run(ctx, "e2fsck", "-f", "-y", d.image)
		// 1 is that it has corrected all errors.
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("repair disk %s: %w", d.mountpoint, err)
	}
	return d.mount(ctx)
}

// Close thaws and unmounts the disk and leaves its image. One that is still in
// use vanishes when it is not; the error names its users.
func (d *Disk) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*busyFor)
	defer cancel()
	end, err := d.enter(ctx)
	if err == nil {
		defer end()
		err = d.freeze.thaw(ctx)
	}
	if err == nil {
		err = d.unmount(ctx)
	}
	if err != nil {
		_ = unix.Unmount(d.mountpoint, unix.MNT_DETACH)
		return fmt.Errorf("close disk %s: %w", d.mountpoint, err)
	}
	return nil
}

// unmount returns when neither a mount, here or in another mount namespace, nor
// the loop device holds the image. A disk that was unmounted is left as it is.
func (d *Disk) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busyFor)
	defer cancel()
	for {
		held, err := d.release()
		if err != nil {
			return err
		}
		if !held {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unmount: %w; it is held by %s", ctx.Err(), describe(holders(d.device)))
		case <-time.After(busyPoll):
		}
	}
}

func (d *Disk) release() (held bool, err error) {
	var st unix.Stat_t
	if err := unix.Stat(d.mountpoint, &st); err == nil && st.Dev == d.device {
		switch err := unix.Unmount(d.mountpoint, 0); err {
		case nil:
		case unix.EBUSY:
			return true, nil
		default:
			return false, fmt.Errorf("unmount: %w", err)
		}
	}
	return d.attached()
}

// attached reports whether the loop device that the disk had still has its image.
func (d *Disk) attached() (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(d.image, &st); err != nil {
		return false, fmt.Errorf("look at %s: %w", d.image, err)
	}
	f, err := os.Open(d.loop)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", d.loop, err)
	}
	defer f.Close()
	info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
	if err == unix.ENXIO {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", d.loop, err)
	}
	return info.Inode == st.Ino && info.Device == st.Dev, nil
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

package process

import (
	"fmt"
	"syscall"
)

// Room reports whether the file system of a folder has a block left for an ordinary user. It does
// not touch the disk, but where that is another machine's.
func Room(folder string) (bool, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return false, fmt.Errorf("look for room in %s: %w", folder, err)
	}
	return s.Bavail > 0 || s.Blocks == 0, nil
}

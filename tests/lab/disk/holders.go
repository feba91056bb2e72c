package disk

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// holders names the processes that use the file system, each with how.
func holders(device uint64) []string {
	var found []string
	own, _ := os.Readlink("/proc/self/ns/mnt")
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		how := use(folder, device, own)
		if how == "" {
			continue
		}
		name, _ := os.ReadFile(folder + "/comm")
		found = append(found, fmt.Sprintf("%s (%s): %s", filepath.Base(folder), strings.TrimSpace(string(name)), how))
	}
	return found
}

func describe(holders []string) string {
	if len(holders) == 0 {
		return "nobody that /proc shows"
	}
	return strings.Join(holders, "; ")
}

// use says how a process uses the file system, empty when it does not.
func use(process string, device uint64, ownNamespace string) string {
	for _, name := range []string{"cwd", "root", "exe"} {
		if isOn(process+"/"+name, device) {
			return name
		}
	}
	files, _ := filepath.Glob(process + "/fd/*")
	for _, file := range files {
		if isOn(file, device) {
			path, _ := os.Readlink(file)
			return "fd " + filepath.Base(file) + " " + path
		}
	}
	major, minor := unix.Major(device), unix.Minor(device)
	if line := find(process+"/maps", 3, fmt.Sprintf("%02x:%02x", major, minor)); line != "" {
		return "maps " + line
	}
	// A mount namespace that was copied from this one has the mount too.
	if namespace, _ := os.Readlink(process + "/ns/mnt"); namespace != ownNamespace {
		if line := find(process+"/mountinfo", 2, fmt.Sprintf("%d:%d", major, minor)); line != "" {
			return "mount namespace " + namespace
		}
	}
	return ""
}

func isOn(path string, device uint64) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Dev == device
}

// find gives the last field of the first line of a file of which a field, counted from 0, has the value.
func find(path string, field int, value string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > field && fields[field] == value {
			return fields[len(fields)-1]
		}
	}
	return ""
}

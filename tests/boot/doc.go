// Package boot installs the programs into a small Debian, starts it with systemd
// as process 1 in namespaces of its own, and breaks things under the units.
//
// It needs root, mmdebstrap and some 100 MB from the package archive once, so it
// runs only when asked for: make boot.
package boot

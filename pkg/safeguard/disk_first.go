//go:build mutant && disk_first

package safeguard

const off = DiskFirst

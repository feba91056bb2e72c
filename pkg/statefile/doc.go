// Package statefile keeps on disk what an agent must not forget: of each pair
// the newest record that was obeyed, and the accounts that were locked and not
// yet released.
//
// The file is JSON that a person can read:
//
//	{"format": 1, "pairs": {"<uniqsign>": {
//	    "record": {"epoch": 7, ...},
//	    "locked": {"10.0.21.5:3308": ["app@%"]}, "learned": {...}}}}
//
// Invariants:
//
//   - The file is always whole: a new content goes to <file>.tmp, is flushed to
//     the disk, and takes the file's name in one step; then the folder is flushed.
//     A crash at any moment leaves the old content or the new one, and what is
//     left of the other is written over.
//   - Save returns nil only when the content will outlast a crash of the machine.
//   - One process writes a file at a time: it holds a lock on <file>.lock. Whoever
//     comes second reads, and writes when the first has ended; it then has to Load
//     again before it may Save.
//   - A file that cannot be understood is moved aside to <file>.corrupt and never
//     deleted; fields that this version does not know are kept.
package statefile

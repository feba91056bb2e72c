//go:build mutant && no_note_kept

package safeguard

const off = NoteKept

// Package tags runs one service for each tag of mmm.conf in one process, over
// one Redis: it selects the tags, opens their logs, hands out wake-ups, and
// applies a changed file without touching what did not change.
//
// A tag with a fault never stops the others, and a file that cannot be used
// never replaces one that could.
package tags

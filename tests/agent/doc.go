// Package agent tests mmm-agent alone on a real pair: the tests write the
// assignments themselves, as identify would.
package agent

package main

import "io"

func writeTables(out io.Writer, runs []run) {}
func writeRecord(dir, json string) error    { return nil }

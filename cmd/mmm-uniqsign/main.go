// Mmm-uniqsign prints a new identity for a pair: the 32 hexadecimal digits of a
// version 4 UUID.
package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func main() { os.Exit(daemon.Main(command(filepath.Base(os.Args[0])))) }

// command is the program under the name by which it was called: it is installed
// as mmm-sign-gen too, the predecessor's name.
func command(name string) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: "Print a new uniqsign, the identity of a pair in mmm.conf and in Redis",
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := uuid.NewRandom()
			if err != nil {
				return fmt.Errorf("make a uuid: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hex.EncodeToString(id[:]))
			return err
		},
	}
}

package redisbus

import (
	_ "embed"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/lib.lua
var libLua string

//go:embed lua/transition.lua
var transitionLua string

//go:embed lua/lead.lua
var leadLua string

//go:embed lua/resign.lua
var resignLua string

//go:embed lua/grant.lua
var grantLua string

//go:embed lua/drop_grant.lua
var dropGrantLua string

//go:embed lua/drop_locked.lua
var dropLockedLua string

//go:embed lua/snapshot.lua
var snapshotLua string

//go:embed lua/verdict.lua
var verdictLua string

//go:embed lua/file_request.lua
var fileRequestLua string

//go:embed lua/save_request.lua
var saveRequestLua string

var (
	transitionScript  = newScript(transitionLua)
	leadScript        = newScript(leadLua)
	resignScript      = newScript(resignLua)
	grantScript       = newScript(grantLua)
	dropGrantScript   = newScript(dropGrantLua)
	dropLockedScript  = newScript(dropLockedLua)
	snapshotScript    = newScript(snapshotLua)
	verdictScript     = newScript(verdictLua)
	fileRequestScript = newScript(fileRequestLua)
	saveRequestScript = newScript(saveRequestLua)
)

// script is a script of which is known what stands in each line.
type script struct {
	*redis.Script
	lines []string
}

func newScript(text string) *script {
	text = libLua + text
	return &script{redis.NewScript(text), strings.Split(text, "\n")}
}

var (
	scriptLine = regexp.MustCompile(`@user_script:(\d+)`)
	scriptCall = regexp.MustCompile(`redis\.p?call\('(\w+)'`)
)

// commands are those in the line at which a script ended by err.
func (s *script) commands(err error) string {
	at := scriptLine.FindStringSubmatch(err.Error())
	if at == nil {
		return ""
	}
	n, _ := strconv.Atoi(at[1])
	if n < 1 || n > len(s.lines) {
		return ""
	}
	var names []string
	for _, call := range scriptCall.FindAllStringSubmatch(s.lines[n-1], -1) {
		names = append(names, call[1])
	}
	return strings.Join(names, " or ")
}

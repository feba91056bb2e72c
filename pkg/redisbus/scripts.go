package redisbus

import (
	_ "embed"

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

//go:embed lua/snapshot.lua
var snapshotLua string

//go:embed lua/verdict.lua
var verdictLua string

//go:embed lua/file_request.lua
var fileRequestLua string

//go:embed lua/save_request.lua
var saveRequestLua string

var (
	transitionScript  = redis.NewScript(libLua + transitionLua)
	leadScript        = redis.NewScript(libLua + leadLua)
	resignScript      = redis.NewScript(libLua + resignLua)
	grantScript       = redis.NewScript(libLua + grantLua)
	dropGrantScript   = redis.NewScript(libLua + dropGrantLua)
	snapshotScript    = redis.NewScript(libLua + snapshotLua)
	verdictScript     = redis.NewScript(libLua + verdictLua)
	fileRequestScript = redis.NewScript(libLua + fileRequestLua)
	saveRequestScript = redis.NewScript(libLua + saveRequestLua)
)

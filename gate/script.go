package gate

import (
	"context"
	_ "embed" // the scripts
	"strconv"

	"github.com/redis/go-redis/v9"

	"scrip/models"
)

// The scripts' texts. Each says in its header what it takes and answers.
var (
	//go:embed lua/copy.lua
	copyLua string
	//go:embed lua/reserve.lua
	reserveLua string
	//go:embed lua/finish.lua
	finishLua string
	//go:embed lua/begin.lua
	beginLua string
	//go:embed lua/load.lua
	loadLua string
	//go:embed lua/open.lua
	openLua string
	//go:embed lua/stock.lua
	stockLua string
	//go:embed lua/pending.lua
	pendingLua string
	//go:embed lua/state.lua
	stateLua string
	//go:embed lua/guess.lua
	guessLua string
	//go:embed lua/check.lua
	checkLua string
)

// script is a Lua text and the name by which a server that has seen it knows it.
type script struct{ text, sha string }

func newScript(lua string) *script { return plainScript(copyLua + lua) }

func plainScript(text string) *script {
	return &script{text: text, sha: redis.NewScript(text).Hash()}
}

type scripts struct {
	reserve, finish, begin, load, open, stock, pending, state *script

	guess *script // about no copy
}

func newScripts() scripts {
	return scripts{
		reserve: newScript(reserveLua),
		finish:  newScript(finishLua),
		begin:   newScript(beginLua),
		load:    newScript(loadLua),
		open:    newScript(openLua),
		stock:   newScript(stockLua),
		pending: newScript(pendingLua),
		state:   newScript(stateLua),
		guess:   plainScript(guessLua),
	}
}

// on starts the arguments of a call for one template, with room for more.
// What is not a constant is best added by address: a string or a number put
// into an interface would be copied to the heap first.
func (s *script) on(template models.ID, room int) []any {
	keys := keysOf(template)
	args := make([]any, 0, 3+len(keys)+room)
	args = append(args, "evalsha", &s.sha, "5")
	for i := range keys {
		args = append(args, &keys[i])
	}
	return args
}

// call makes the command.
func (s *script) call(ctx context.Context, args []any) *call {
	return &call{Cmd: redis.NewCmd(ctx, args...), script: s}
}

// call is one run of a script.
type call struct {
	*redis.Cmd
	script *script
}

// NoRetry forbids the cluster client, which knows no other way to be told, to
// send a call again whose reply was lost: it may have been carried out.
func (c *call) NoRetry() bool { return true }

// inFull makes the same call with the script's text, for a server that does
// not know the script: one that was restarted, or promoted.
func (c *call) inFull(ctx context.Context) {
	args := c.Args()
	args[0], args[1] = "eval", &c.script.text
	c.Cmd = redis.NewCmd(ctx, args...)
}

// keysOf gives the keys of a template's copy, in the order of the scripts.
func keysOf(template models.ID) *[5]string {
	base := "scrip:{" + strconv.FormatInt(int64(template), 10) + "}:"
	return &[5]string{base + "meta", base + "left", base + "users", base + "pend", base + "counts"}
}

// touchedKey is a sorted set: template by the millisecond of a reservation.
const touchedKey = "scrip:touched"

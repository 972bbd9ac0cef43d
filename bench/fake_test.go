package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"scrip/client"
)

// fake is a Scrip server in memory that keeps every promise of the sale, apart
// from what its flaws break.
type fake struct {
	flaws

	mu       sync.Mutex
	stock    int
	rows     []client.Coupon
	ids      int
	ofUser   map[string]client.Coupon
	answers  map[string]reply // by Idempotency-Key
	requests int              // claims
	down     func()           // ends the server; nil once it was called
}

type reply struct {
	status int
	body   []byte
}

// flaws are the ways in which a fake is wrong or unlucky. A number n means
// every n-th claim or coupon; 0 never.
type flaws struct {
	oversell int  // so many coupons beyond the stock
	hoard    int  // so many coupons of the stock are never sold
	skip     int  // jump over a number at the n-th coupon
	forget   int  // the n-th coupon acknowledged has no row
	misplace int  // the n-th coupon's row is another user's
	mistake  int  // the n-th coupon's answer names another user
	second   int  // the n-th coupon's user gets two rows
	share    int  // the n-th coupon is granted to the next user as well
	invent   bool // a row for nobody
	slander  int  // the n-th claim is refused as claimed already
	amnesia  bool // keys are not remembered
	miscount bool // the template counts one too many

	busy    int    // the n-th claim is refused as busy, untried
	drop    int    // the n-th claim is carried out and its connection broken
	unknown int    // the n-th claim is carried out and answered with outcome_unknown
	mute    string // claims of users whose number ends so are carried out, and never answered but with outcome_unknown
	dieAt   int    // at the n-th claim the server ends
}

func (f *fake) handler() http.Handler {
	f.ofUser, f.answers = map[string]client.Coupon{}, map[string]reply{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/rules", func(w http.ResponseWriter, _ *http.Request) {
		send(w, encode(http.StatusCreated, map[string]any{"id": "1"}))
	})
	mux.HandleFunc("POST /v1/templates", func(w http.ResponseWriter, r *http.Request) {
		var template client.NewTemplate
		if err := json.NewDecoder(r.Body).Decode(&template); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stock = int(*template.Stock)
		send(w, encode(http.StatusCreated, map[string]any{"id": "2"}))
	})
	for _, path := range []string{"POST /v1/templates/2/publish", "GET /v1/templates/2", "GET /v1/templates/2/stats"} {
		mux.HandleFunc(path, f.count)
	}
	mux.HandleFunc("GET /v1/templates/2/coupons", f.list)
	mux.HandleFunc("POST /v1/claims", f.claim)
	return mux
}

func encode(status int, body any) reply {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return reply{status, text}
}

func refuse(status int, code string, more ...string) reply {
	return encode(status, map[string]any{"status": status, "code": code, "detail": "no", "coupon_ids": more})
}

func send(w http.ResponseWriter, r reply) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body)
}

func (f *fake) count(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	claimed := len(f.rows)
	if f.miscount {
		claimed++
	}
	send(w, encode(http.StatusOK, map[string]any{
		"id": "2", "state": "active", "claimed": claimed, "available": len(f.rows), "remaining": f.stock - len(f.rows),
	}))
}

// list gives the newest first; the cursor is the place in the list.
func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	rows := slices.Clone(f.rows)
	f.mu.Unlock()
	slices.Reverse(rows)
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	page := client.Page[client.Coupon]{Data: rows[from:min(from+limit, len(rows))]}
	if from+limit < len(rows) {
		page.NextCursor = strconv.Itoa(from + limit)
	}
	send(w, encode(http.StatusOK, page))
}

func every(n, i int) bool { return n > 0 && i%n == 0 }

func (f *fake) claim(w http.ResponseWriter, r *http.Request) {
	var claim client.Claim
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &claim) != nil || claim.TemplateID != "2" || claim.UserID == "" {
		send(w, refuse(http.StatusUnprocessableEntity, "invalid"))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.requests == f.dieAt {
		f.down()
		f.requests++ // only once
		panic(http.ErrAbortHandler)
	}
	if every(f.busy, f.requests) {
		send(w, refuse(http.StatusServiceUnavailable, "busy"))
		return
	}
	key := r.Header.Get("Idempotency-Key")
	answer, replayed := f.answers[key]
	if replayed && !f.amnesia {
		w.Header().Set("Idempotency-Replayed", "true")
	} else {
		answer = f.decide(claim.UserID)
		f.answers[key] = answer
	}
	switch {
	case every(f.drop, f.requests):
		panic(http.ErrAbortHandler)
	case every(f.unknown, f.requests), f.mute != "" && claim.UserID[len(claim.UserID)-len(f.mute):] == f.mute:
		send(w, refuse(http.StatusServiceUnavailable, "outcome_unknown"))
	default:
		send(w, answer)
	}
}

// decide claims a coupon for the user.
func (f *fake) decide(user string) reply {
	if had, ok := f.ofUser[user]; ok {
		return refuse(http.StatusConflict, "already_claimed", had.ID)
	}
	if every(f.slander, f.requests) {
		return refuse(http.StatusConflict, "already_claimed")
	}
	if len(f.rows) >= f.stock+f.oversell-f.hoard {
		return refuse(http.StatusConflict, "sold_out")
	}
	if f.invent && len(f.rows) == 0 {
		f.issue("nobody")
	}
	if n := len(f.rows); every(f.share, n) && n > 0 {
		f.ofUser[user] = f.rows[n-1]
		return f.grant(f.rows[n-1], user)
	}
	coupon := f.issue(user)
	f.ofUser[user] = coupon
	n := len(f.rows)
	switch {
	case every(f.forget, n):
		f.rows = f.rows[:n-1]
	case every(f.misplace, n):
		f.rows[n-1].UserID = "nobody-" + strconv.Itoa(n)
	case every(f.mistake, n):
		return f.grant(coupon, "nobody")
	case every(f.second, n):
		f.issue(user)
	}
	return f.grant(coupon, user)
}

func (f *fake) issue(user string) client.Coupon {
	f.ids++
	number := len(f.rows) + 1
	if f.skip > 0 && number >= f.skip {
		number++
	}
	coupon := client.Coupon{
		ID: strconv.Itoa(1000 + f.ids), Code: "C" + strconv.Itoa(f.ids), TemplateID: "2", UserID: user,
		Status: "available", IssueNo: int64(number),
	}
	f.rows = append(f.rows, coupon)
	return coupon
}

func (f *fake) grant(coupon client.Coupon, user string) reply {
	coupon.UserID = user
	return encode(http.StatusCreated, coupon)
}

// serve runs the fake on a port of its own until the test ends, and returns
// its URL. When it dies, it comes back on the same port after the given time,
// with all that it had; with 0 it stays away.
func (f *fake) serve(t *testing.T, back time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	handler := f.handler()
	start := func(l net.Listener) *http.Server {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		var running sync.WaitGroup
		running.Go(func() { _ = server.Serve(l) })
		t.Cleanup(func() {
			_ = server.Close()
			running.Wait()
		})
		return server
	}
	first := start(listener)
	returned := make(chan struct{})
	f.down = func() {
		_ = first.Close()
		if back == 0 {
			return
		}
		time.AfterFunc(back, func() {
			defer close(returned)
			again, err := net.Listen("tcp", addr)
			if err != nil {
				t.Error(fmt.Errorf("come back: %w", err))
				return
			}
			start(again)
		})
	}
	if f.dieAt > 0 && back > 0 {
		t.Cleanup(func() { <-returned })
	}
	return "http://" + addr
}

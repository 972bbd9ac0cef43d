package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"scrip/enginetest"
)

// postOffice is a real SMTP server that keeps what it gets.
type postOffice struct {
	host, port string

	mu    sync.Mutex
	mails []*mail.Message
	hold  chan struct{} // if set, a mail is answered only once it is closed
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{}
	if p.host, p.port, err = net.SplitHostPort(listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(p)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close(); served.Wait() })
	return p
}

// env sets a server up with it.
func (p *postOffice) env() []string {
	return []string{"SCRIP_MAIL_HOST=" + p.host, "SCRIP_MAIL_PORT=" + p.port, "SCRIP_MAIL_TLS=none", "SCRIP_MAIL_FROM=Shop <shop@shop.example>"}
}

func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &postSession{p}, nil }

type postSession struct{ office *postOffice }

func (s *postSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *postSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *postSession) Reset()                               {}
func (s *postSession) Logout() error                        { return nil }

func (s *postSession) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return err
	}
	msg.Body = strings.NewReader(string(body))
	s.office.mu.Lock()
	s.office.mails = append(s.office.mails, msg)
	hold := s.office.hold
	s.office.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return nil
}

// ids are the Message-IDs of the mails to an address.
func (p *postOffice) ids(to string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, msg := range p.mails {
		if strings.Contains(msg.Header.Get("To"), to) {
			ids = append(ids, msg.Header.Get("Message-Id"))
		}
	}
	return ids
}

// endingSale is a template whose coupons remind of their end as soon as they are
// claimed.
func (s *site) endingSale(t *testing.T) string {
	t.Helper()
	return s.sale(t, platformKey, object{"name": "Ending", "validity": object{"days_after_claim": 1}, "remind_before_days": []int{1}})
}

func (s *site) putUser(t *testing.T, id string, user object) {
	t.Helper()
	got := s.do(t, request{method: http.MethodPut, path: "/users/" + id, as: platformKey, body: user})
	if got.status/100 != 2 {
		t.Fatalf("got %d %s", got.status, got.text)
	}
}

func TestAUserIsTold(t *testing.T) {
	t.Parallel()
	office := newPostOffice(t)
	onBoth(t, func(t *testing.T, s *site) {
		last := len(s.servers) - 1
		name := "ann-" + strings.ReplaceAll(t.Name(), "/", "-")
		address := name + "@example.com"
		s.putUser(t, name, object{"email": address, "locale": "zh-CN"})
		s.putUser(t, "gone", object{"email": "gone@example.com", "last_active_at": "2020-01-01T00:00:00Z"})
		template := s.endingSale(t)
		for _, user := range []string{name, "gone", "unknown"} {
			s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(template, user)))
		}
		ann := s.user(t, name)
		var inbox struct {
			Data []struct {
				ID, Title, Body, Locale string
				About                   map[string]string
				ReadAt                  *string `json:"read_at"`
			}
			Unread int `json:"unread_count"`
		}
		enginetest.Eventually(t, "the inbox has a message", func() bool {
			got := s.want(t, http.StatusOK, "", get("/messages", ann).on(last))
			if err := json.Unmarshal([]byte(got.text), &inbox); err != nil {
				t.Fatal(err)
			}
			return len(inbox.Data) > 0
		})
		message := inbox.Data[0]
		if len(inbox.Data) != 1 || inbox.Unread != 1 || message.Title != "优惠券即将过期" || message.Locale != "zh" || message.ReadAt != nil ||
			message.About["template_id"] != template || !strings.Contains(message.Body, "Ending") {
			t.Errorf("got %+v", inbox)
		}
		enginetest.Eventually(t, "the mail arrives", func() bool { return len(office.ids(address)) > 0 })

		s.want(t, http.StatusForbidden, "forbidden", get("/messages?user_id=gone", ann))
		s.want(t, http.StatusNotFound, "not_found", post("/messages/"+message.ID+"/read", s.user(t, "unknown"), nil))
		read := s.want(t, http.StatusOK, "", post("/messages/"+message.ID+"/read", ann, nil).with("Idempotency-Key", "k"))
		again := s.want(t, http.StatusOK, "", post("/messages/"+message.ID+"/read", ann, nil).with("Idempotency-Key", "k").on(last))
		if read.body["read_at"] == nil || again.text != read.text || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("read %s, again %s", read.text, again.text)
		}
		if got := s.want(t, http.StatusOK, "", get("/messages?locale=de", ann)); got.field("unread_count") != "0" || !strings.Contains(got.text, `"locale":"de"`) {
			t.Errorf("got %s", got.text)
		}
		if got := s.want(t, http.StatusOK, "", get("/messages?user_id=gone", platformKey)); !strings.Contains(got.text, `"data":[]`) {
			t.Errorf("one who is long gone was told: %s", got.text)
		}
		enginetest.Eventually(t, "somebody of whom nothing is known is told as well", func() bool {
			return s.want(t, http.StatusOK, "", get("/messages?user_id=unknown", platformKey)).field("unread_count") == "1"
		})
		if n := len(office.ids("gone@")); n > 0 {
			t.Errorf("%d mails to one who is long gone", n)
		}
		s.consistent(t)
	}, office.env()...)
}

// TestADistributionTellsItsUsers goes by all channels at once, and tells the merchant
// that it is over.
func TestADistributionTellsItsUsers(t *testing.T) {
	t.Parallel()
	office, provider, merchant := newPostOffice(t), newHook(t), newHook(t)
	onBoth(t, func(t *testing.T, s *site) {
		shop := s.want(t, http.StatusCreated, "", post("/api_keys", platformKey, object{"role": "merchant", "merchant_id": "shop"})).field("key")
		tag := strings.ReplaceAll(t.Name(), "/", "-")
		s.subscribe(t, shop, merchant.url, "job.finished")
		for user, known := range map[string]object{
			"ann": {"email": "ann-" + tag + "@example.com", "phone": "+4930123456", "locale": "de-AT", "tags": []string{"vip"}},
			"bob": {"tags": []string{"vip"}},
			"cid": {"email": "cid@example.com", "tags": []string{"vip"}, "last_active_at": "2020-01-01T00:00:00Z"},
			"dan": {"email": "dan@example.com"},
		} {
			got := s.do(t, request{method: http.MethodPut, path: "/users/" + user, as: shop, body: known})
			if got.status/100 != 2 {
				t.Fatalf("got %d %s", got.status, got.text)
			}
		}
		template := s.sale(t, shop, object{"name": "Gift"})
		spec := object{
			"template_id": template, "audience": object{"kind": "tags", "tags": []string{"vip"}},
			"notify": object{
				"channels": []string{"inbox", "mail", "sms"}, "title": "{template.name} for you", "body": "Use {coupon.code} {{now}}.",
				"locales": object{"de": object{"title": "{template.name} für Sie", "body": "Gültig bis {coupon.last_day}: {coupon.code}"}},
			},
		}
		bad := object{"template_id": template, "audience": object{"kind": "all"}, "notify": object{
			"channels": []string{"pigeon"}, "title": "", "body": "{user.password}",
		}}
		refused := s.want(t, http.StatusUnprocessableEntity, "", post("/distributions", shop, bad))
		for _, field := range []string{"notify.channels[0]", "notify.title", "notify.body"} {
			if !strings.Contains(refused.text, `"field":"`+field+`"`) {
				t.Errorf("%s is not named: %s", field, refused.text)
			}
		}
		id := s.want(t, http.StatusAccepted, "", post("/distributions", shop, spec)).field("id")
		if done := s.finished(t, id, shop); done.field("state") != "done" || done.field("done") != "3" {
			t.Errorf("got %s", done.text)
		}
		ann := s.want(t, http.StatusOK, "", get("/messages?user_id=ann", platformKey)).text
		if !strings.Contains(ann, `"title":"Gift für Sie","body":"Gültig bis 20`) || !strings.Contains(ann, `"distribution_id":"`+id+`"`) {
			t.Errorf("ann: %s", ann)
		}
		if bob := s.want(t, http.StatusOK, "", get("/messages?user_id=bob", platformKey)).text; !strings.Contains(bob, `"title":"Gift for you"`) || !strings.Contains(bob, " {now}.") {
			t.Errorf("bob: %s", bob)
		}
		for _, user := range []string{"cid", "dan"} {
			if got := s.want(t, http.StatusOK, "", get("/messages?user_id="+user, platformKey)); got.field("unread_count") != "0" {
				t.Errorf("%s was told: %s", user, got.text)
			}
		}
		enginetest.Eventually(t, "the mail, the SMS and the event arrive", func() bool {
			return len(office.ids("ann-"+tag)) == 1 && strings.Contains(fmt.Sprint(provider.calls()), `"to":"+4930123456"`) &&
				strings.Contains(fmt.Sprint(merchant.calls()), `"id":"`+id+`","kind":"distribution","state":"done"`)
		})
		s.consistent(t)
	}, append(office.env(), private, "SCRIP_SMS_URL="+provider.url)...)
}

func TestAnImportTellsItsUsers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *site) {
		template := s.sale(t, platformKey, object{"name": "Gift"})
		to := func(notify string) string {
			return "/distributions/import?template_id=" + template + "&notify=" + url.QueryEscape(notify)
		}
		refused := s.want(t, http.StatusUnprocessableEntity, "", post(to(`{"title":"x","body":"{user.password}"}`), platformKey, users(3)))
		if !strings.Contains(refused.text, `"field":"notify.body"`) {
			t.Errorf("got %s", refused.text)
		}
		text := `{"title":"{template.name} & more","body":"Use {coupon.code}."}`
		made := s.want(t, http.StatusAccepted, "", post(to(text), platformKey, users(3)))
		if !strings.Contains(made.text, `"notify":{"channels":["inbox"],"title":"{template.name} & more"`) {
			t.Errorf("got %s", made.text)
		}
		if done := s.finished(t, made.field("id"), platformKey); done.field("done") != "3" {
			t.Errorf("got %s", done.text)
		}
		for _, user := range []string{"user000000", "user000002"} {
			got := s.want(t, http.StatusOK, "", get("/messages?user_id="+user, platformKey)).text
			if !strings.Contains(got, `"title":"Gift & more","body":"Use `) || !strings.Contains(got, `"distribution_id":"`+made.field("id")+`"`) {
				t.Errorf("%s: %s", user, got)
			}
		}
		s.consistent(t)
	})
}

// TestWhoDiesBeforeMarkingMailsAgain kills the servers while the mail server has the
// mail and has not said so yet.
func TestWhoDiesBeforeMarkingMailsAgain(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, env ...string) *site{
		"embedded": embedded,
		"engines":  func(t *testing.T, env ...string) *site { t.Helper(); return engines(t, 2, env...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office := newPostOffice(t)
			hold := make(chan struct{})
			office.hold = hold
			s := start(t, append(office.env(), "SCRIP_DELIVERIES_TIMEOUT=2s")...)
			s.putUser(t, "ann", object{"email": "ann@example.com"})
			s.want(t, http.StatusCreated, "", post("/claims", platformKey, claim(s.endingSale(t), "ann")))
			enginetest.Eventually(t, "the mail server has it", func() bool { return len(office.ids("ann@")) == 1 })
			for _, server := range s.servers {
				server.Kill()
			}
			office.mu.Lock()
			office.hold = nil
			office.mu.Unlock()
			close(hold)
			for _, server := range s.servers {
				server.Restart()
			}
			enginetest.Eventually(t, "it has it again", func() bool { return len(office.ids("ann@")) == 2 })
			if ids := office.ids("ann@"); ids[0] != ids[1] || ids[0] == "" {
				t.Errorf("got %v", ids)
			}
			s.consistent(t)
		})
	}
}

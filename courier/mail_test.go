package courier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	gomail "github.com/wneessen/go-mail"

	"scrip/models"
)

// postbox is a real SMTP server that keeps what it gets.
type postbox struct {
	addr   string
	server *smtp.Server

	mu       sync.Mutex
	sessions int
	mails    []received
	refuse   error // said to every mail, if set
}

type received struct {
	from, to string
	header   mail.Header
	body     string
}

func newPostbox(t *testing.T, secure *tls.Config) *postbox {
	t.Helper()
	p := &postbox{}
	p.server = smtp.NewServer(p)
	p.server.TLSConfig, p.server.AllowInsecureAuth = secure, secure == nil
	p.start(t, "127.0.0.1:0")
	t.Cleanup(func() { _ = p.server.Close() })
	return p
}

func (p *postbox) start(t *testing.T, addr string) {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr = listener.Addr().String()
	var served sync.WaitGroup
	served.Go(func() { _ = p.server.Serve(listener) })
	t.Cleanup(served.Wait)
}

func (p *postbox) NewSession(*smtp.Conn) (smtp.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	return &session{box: p}, nil
}

type session struct {
	box *postbox
	now received
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "scrip" || password != "secret" {
			return errors.New("no")
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.now.from = from; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.now.to = to
	return s.box.refuse
}

func (s *session) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return err
	}
	s.now.header, s.now.body = msg.Header, string(body)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, s.now)
	return nil
}

func (s *session) Reset()        { s.now = received{} }
func (s *session) Logout() error { return nil }

func (p *postbox) options(t *testing.T, secure string) MailOptions {
	t.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return MailOptions{
		Host: host, Port: number, From: "The Shop <no-reply@shop.example>", TLS: secure, Timeout: timeout, Connections: 2,
	}
}

func newMailer(t *testing.T, o MailOptions) *Mail {
	t.Helper()
	m, err := NewMail(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func mailTo(id models.ID, to string) *models.Delivery {
	return &models.Delivery{
		ID: id, Channel: models.ChannelMail, To: to, Text: models.Text{Title: "Läuft bald ab: “é”", Body: "One.\n.\nTwo — 三.\n"},
	}
}

func TestMailArrives(t *testing.T) {
	t.Parallel()
	p := newPostbox(t, nil)
	m := newMailer(t, p.options(t, "none"))
	for i := range 3 { // the last two of one delivery
		if got := m.Send(t.Context(), mailTo(models.ID(71+min(i, 1)), "ann@example.com")); got.Result != models.ResultSent {
			t.Fatalf("got %+v", got)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mails) != 3 || p.sessions != 1 {
		t.Fatalf("%d mails over %d connections", len(p.mails), p.sessions)
	}
	for i, got := range p.mails {
		var words mime.WordDecoder
		subject, err := words.DecodeHeader(got.header.Get("Subject"))
		if err != nil || subject != "Läuft bald ab: “é”" || got.from != "no-reply@shop.example" || got.to != "ann@example.com" {
			t.Errorf("got %q %+v (%v)", subject, got, err)
		}
		if want := []string{"<71.scrip@shop.example>", "<72.scrip@shop.example>"}[min(i, 1)]; got.header.Get("Message-Id") != want {
			t.Errorf("Message-ID %s, want %s", got.header.Get("Message-Id"), want)
		}
		if from := got.header.Get("From"); from != `"The Shop" <no-reply@shop.example>` {
			t.Errorf("from %s", from)
		}
		if got.header.Get("Auto-Submitted") != "auto-generated" || got.header.Get("Date") == "" ||
			!strings.Contains(got.body, "Two =E2=80=94 =E4=B8=89.") {
			t.Errorf("got %+v", got)
		}
	}
}

func TestWhatAMailServerSays(t *testing.T) {
	t.Parallel()
	p := newPostbox(t, nil)
	m := newMailer(t, p.options(t, "none"))
	for _, c := range []struct {
		refuse error
		to     string
		want   models.Attempt
	}{
		{&smtp.SMTPError{Code: 550, Message: "no such user; secret"}, "a@b.example", models.Attempt{Result: models.ResultRefused, Detail: "SMTP 550"}},
		{&smtp.SMTPError{Code: 451, Message: "later"}, "a@b.example", models.Attempt{Result: models.ResultRetry, Detail: "SMTP 451"}},
		{nil, "not an address", models.Attempt{Result: models.ResultRefused, Detail: "the address is not one"}},
		{nil, "a@b.example\r\nBcc: c@d.example", models.Attempt{Result: models.ResultRefused, Detail: "the address is not one"}},
		{nil, "a@b.example", models.Attempt{Result: models.ResultSent}},
	} {
		p.mu.Lock()
		p.refuse = c.refuse
		p.mu.Unlock()
		if got := m.Send(t.Context(), mailTo(71, c.to)); got != c.want {
			t.Errorf("%v %q: got %+v, want %+v", c.refuse, c.to, got, c.want)
		}
	}
}

// TestAConnectionThatTheServerDroppedIsReplaced restarts the server between two
// mails.
func TestAConnectionThatTheServerDroppedIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPostbox(t, nil)
	m := newMailer(t, p.options(t, "none"))
	if got := m.Send(t.Context(), mailTo(71, "a@b.example")); got.Result != models.ResultSent {
		t.Fatalf("got %+v", got)
	}
	addr := p.addr
	_ = p.server.Close()
	if got := m.Send(t.Context(), mailTo(72, "a@b.example")); got.Result != models.ResultRetry {
		t.Errorf("got %+v from no server", got)
	}
	next := &postbox{}
	next.server = smtp.NewServer(next)
	next.start(t, addr)
	t.Cleanup(func() { _ = next.server.Close() })
	if got := m.Send(t.Context(), mailTo(72, "a@b.example")); got.Result != models.ResultSent {
		t.Errorf("got %+v", got)
	}
}

// TestStartTLSIsDemanded has a server that offers it, with a certificate that the
// client does not know and so refuses, and one that does not offer it.
func TestStartTLSIsDemanded(t *testing.T) {
	t.Parallel()
	certificate := selfSigned(t)
	p := newPostbox(t, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if got := newMailer(t, p.options(t, "starttls")).Send(t.Context(), mailTo(71, "a@b.example")); got.Result != models.ResultRetry {
		t.Errorf("an unknown certificate: got %+v", got)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	for password, want := range map[string]models.Result{"secret": models.ResultSent, "wrong": models.ResultRetry} {
		o := p.options(t, "starttls")
		o.Username, o.Password = "scrip", password
		trusting := newMailer(t, o)
		if err := trusting.client.SetTLSConfig(&tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}); err != nil {
			t.Fatal(err)
		}
		if got := trusting.Send(t.Context(), mailTo(71, "a@b.example")); got.Result != want {
			t.Errorf("a known certificate, password %s: got %+v", password, got)
		}
	}
	unsafe := p.options(t, "none")
	unsafe.Username, unsafe.Password = "scrip", "secret"
	if got := newMailer(t, unsafe).Send(t.Context(), mailTo(71, "a@b.example")); got.Result != models.ResultRetry {
		t.Errorf("a password without TLS: got %+v", got)
	}
	plain := newPostbox(t, nil)
	if got := newMailer(t, plain.options(t, "starttls")).Send(t.Context(), mailTo(71, "a@b.example")); got.Result != models.ResultRetry {
		t.Errorf("no TLS: got %+v", got)
	}
	if len(plain.mails) > 0 {
		t.Error("it was sent without TLS")
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestASilentMailServerIsCutOff has one that takes the connection and says
// nothing.
func TestASilentMailServerIsCutOff(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &postbox{addr: listener.Addr().String()}
	o := p.options(t, "none")
	o.Timeout = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), o.Timeout)
	defer cancel()
	if got := newMailer(t, o).Send(ctx, mailTo(71, "a@b.example")); got.Result != models.ResultRetry {
		t.Errorf("got %+v", got)
	}
}

func TestAMailerNeedsAnAddress(t *testing.T) {
	t.Parallel()
	if _, err := NewMail(MailOptions{Host: "localhost", Port: 25, From: "nobody"}); err == nil {
		t.Error("it is content")
	}
	if mailAttempt(&gomail.SendError{}).Result != models.ResultRetry {
		t.Error("a failure without a code is final")
	}
}

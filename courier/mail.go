package courier

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"scrip/models"
)

// MailOptions say through which server mail goes out, and as whose.
type MailOptions struct {
	Host               string
	Port               int
	Username, Password string // empty: without logging in
	From               string // "Shop <no-reply@shop.example>"
	TLS                string // starttls, tls, none
	Timeout            time.Duration
	Connections        int // kept open while there is something to send
}

// Mail sends mail over SMTP. It is safe for concurrent use.
type Mail struct {
	client *gomail.Client
	from   *mail.Address
	domain string
	idle   chan idleConn
}

// idleConn is a connection on which the next mail may go out.
type idleConn struct {
	*smtp.Client

	since time.Time
}

// maxIdle is how long a connection is kept for the next mail; servers give up
// after a few minutes.
const maxIdle = time.Minute

// NewMail makes a sender. It connects only when there is something to send.
func NewMail(o MailOptions) (*Mail, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("mail.from: %w", err)
	}
	options := []gomail.Option{gomail.WithPort(o.Port), gomail.WithTimeout(o.Timeout)}
	switch o.TLS {
	case "tls":
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if o.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(o.Username), gomail.WithPassword(o.Password))
	}
	client, err := gomail.NewClient(o.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	return &Mail{client: client, from: from, domain: domain, idle: make(chan idleConn, o.Connections)}, nil
}

// Close ends the connections that wait for the next mail. Call it after the last
// Send.
func (m *Mail) Close() {
	for {
		select {
		case conn := <-m.idle:
			m.end(conn.Client)
		default:
			return
		}
	}
}

func (m *Mail) end(conn *smtp.Client) { _ = m.client.CloseWithSMTPClient(conn) } // there is nothing to do about it

// Send makes one try. Its Message-ID is made of the delivery's id, the same in every
// try, so that a mailbox can tell a repetition.
func (m *Mail) Send(ctx context.Context, d *models.Delivery) models.Attempt {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(m.from)
	if err := msg.To(d.To); err != nil {
		return models.Attempt{Result: models.ResultRefused, Detail: "the address is not one"}
	}
	msg.Subject(d.Text.Title)
	msg.SetBodyString(gomail.TypeTextPlain, d.Text.Body)
	msg.SetMessageIDWithValue(d.ID.String() + ".scrip@" + m.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBulk()
	conn, fresh, err := m.connect(ctx)
	if err == nil {
		err = m.client.SendWithSMTPClient(conn, msg)
	}
	if err != nil && !fresh && isStale(err) {
		m.end(conn)
		if conn, err = m.client.DialToSMTPClientWithContext(ctx); err == nil {
			err = m.client.SendWithSMTPClient(conn, msg)
		}
	}
	m.keep(conn, err)
	return mailAttempt(err)
}

// connect takes a connection that is open already, or opens one.
func (m *Mail) connect(ctx context.Context) (conn *smtp.Client, fresh bool, err error) {
	for {
		select {
		case kept := <-m.idle:
			if time.Since(kept.since) < maxIdle {
				return kept.Client, false, nil
			}
			m.end(kept.Client)
		default:
			conn, err = m.client.DialToSMTPClientWithContext(ctx)
			return conn, true, err
		}
	}
}

// keep keeps a connection for the next mail, unless something went wrong on it.
func (m *Mail) keep(conn *smtp.Client, err error) {
	if conn == nil {
		return
	}
	if err == nil {
		select {
		case m.idle <- idleConn{conn, time.Now()}:
			return
		default:
		}
	}
	m.end(conn)
}

// isStale reports whether the server had given the connection up before anything
// was sent.
func isStale(err error) bool {
	var failure *gomail.SendError
	return errors.As(err, &failure) && failure.Reason == gomail.ErrConnCheck
}

// mailAttempt says what an error means: a 5xx to this mail is a no for ever,
// anything else, such as a server that does not let us in, a no for now.
func mailAttempt(err error) models.Attempt {
	if err == nil {
		return models.Attempt{Result: models.ResultSent}
	}
	var failure *gomail.SendError
	if !errors.As(err, &failure) || failure.ErrorCode() == 0 {
		return models.Attempt{Result: models.ResultRetry, Detail: "no connection to the mail server, or it broke off"}
	}
	attempt := models.Attempt{Result: models.ResultRetry, Detail: fmt.Sprintf("SMTP %d", failure.ErrorCode())}
	if failure.ErrorCode()/100 == 5 {
		attempt.Result = models.ResultRefused
	}
	return attempt
}

package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// stream is an answer too long to be made before it is sent. It begins with the
// first piece, so that until then an error is answered as everywhere; one after
// that cuts the connection, or the client would take the part for the whole.
type stream struct {
	c     *gin.Context
	head  string // what the body begins with
	begun bool

	media, file string
}

// pieceTimeout is how long a client may take for one piece. The server's own
// limit is for an answer in one.
const pieceTimeout = 30 * time.Second

func newStream(c *gin.Context, media, file, head string) *stream {
	return &stream{c: c, head: head, media: media, file: file}
}

func (s *stream) write(piece []byte) error {
	err := http.NewResponseController(s.c.Writer).SetWriteDeadline(time.Now().Add(pieceTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("stream %s: %w", s.file, err)
	}
	if !s.begun {
		s.begun = true
		s.c.Header("Content-Type", s.media)
		s.c.Header("Content-Disposition", `attachment; filename="`+s.file+`"`)
		s.c.Header("Cache-Control", "no-store")
		s.c.Status(http.StatusOK)
		piece = append([]byte(s.head), piece...)
	}
	if _, err := s.c.Writer.Write(piece); err != nil {
		return fmt.Errorf("stream %s: %w", s.file, err)
	}
	return nil
}

// end sends what an answer without any piece has.
func (s *stream) end() error {
	if s.begun {
		return nil
	}
	return s.write(nil)
}

package handlers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/issuing"
	"scrip/models"
)

// upload is a body that is too large for the memory: it is taken in before
// anything is done with it, into a file that has no name any more. So a slow
// sender holds up nobody, and one that breaks off has changed nothing.
type upload struct {
	*os.File
	format issuing.Format
	digest [sha256.Size]byte // by which an idempotency key knows it
}

// takeIn reads an upload of one of the formats, as far as middleware.BodyLimit
// lets it. The caller closes it.
func (a *api) takeIn(c *gin.Context, formats ...issuing.Format) (*upload, error) {
	media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	format := issuing.Format(media)
	if err != nil || !slices.Contains(formats, format) || c.GetHeader("Content-Encoding") != "" {
		return nil, errMediaType(formats)
	}
	// The server's own times are for requests that fit into the memory.
	until := time.Now().Add(a.UploadTimeout)
	control := http.NewResponseController(c.Writer)
	if err := errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fmt.Errorf("extend the request's time: %w", err)
	}
	file, err := os.CreateTemp("", "scrip-upload-")
	if err != nil {
		return nil, fmt.Errorf("keep the upload: %w", err)
	}
	taken := &upload{File: file, format: format}
	if err := errors.Join(os.Remove(file.Name()), taken.fill(c.Request.Body)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return taken, nil
}

func errMediaType(formats []issuing.Format) error {
	names := make([]string, len(formats))
	for i, format := range formats {
		names[i] = string(format)
	}
	return models.Refuse(models.CodeMediaType, "the body must be sent as Content-Type: %s, not compressed", strings.Join(names, " or "))
}

func (u *upload) fill(body io.Reader) error {
	hash := sha256.New()
	_, err := io.Copy(io.MultiWriter(u.File, hash), body)
	var over *http.MaxBytesError
	var ours *os.PathError
	var refusal *models.Error
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &over):
		return models.Refuse(models.CodeTooLarge, "the body must be at most %d bytes", over.Limit)
	case errors.As(err, &ours):
		return fmt.Errorf("keep the upload: %w", err)
	case err != nil:
		return models.Refuse(models.CodeBadJSON, "the body did not arrive in full")
	}
	hash.Sum(u.digest[:0])
	_, err = u.Seek(0, io.SeekStart)
	return err
}

package handlers

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"scrip/handlers/middleware"
	"scrip/issuing"
	"scrip/models"
)

type userStore interface {
	User(ctx context.Context, merchantID, userID string) (models.User, error)
	PutUser(ctx context.Context, op models.Op, user models.User) (stored models.User, made bool, err error)
}

type audienceService interface {
	ImportUsers(
		ctx context.Context, op models.Op, merchantID string, format issuing.Format, upload io.Reader,
	) (models.LineReport, error)
}

// userBody is all that can be known of a user. What is absent is not known.
type userBody struct {
	Tags         []string   `json:"tags"`
	Locale       string     `json:"locale"`
	Email        string     `json:"email"`
	Phone        string     `json:"phone"`
	LastActiveAt *time.Time `json:"last_active_at"`
}

// userView is a user in an answer.
type userView struct {
	UserID       string   `json:"user_id"`
	MerchantID   string   `json:"merchant_id,omitempty"`
	Tags         []string `json:"tags"`
	Locale       string   `json:"locale,omitempty"`
	Email        string   `json:"email,omitempty"`
	Phone        string   `json:"phone,omitempty"`
	LastActiveAt *stamp   `json:"last_active_at,omitempty"`
	CreatedAt    stamp    `json:"created_at"`
	UpdatedAt    stamp    `json:"updated_at"`
}

func viewUser(u models.User) any {
	return userView{
		u.UserID, u.MerchantID, orEmpty(u.Tags), u.Locale, u.Email, u.Phone, stampOf(u.LastActiveAt),
		stamp(u.CreatedAt), stamp(u.UpdatedAt),
	}
}

// lineReportView says what became of the lines of an upload.
type lineReportView struct {
	Imported int64              `json:"imported"`
	Failed   int64              `json:"failed"`
	Errors   []models.LineError `json:"errors"`
}

func viewLineReport(r models.LineReport) any {
	return lineReportView{r.Imported, r.Failed, orEmpty(r.Errors)}
}

// pathUser reads the user in the path and whose user it is: a merchant's own, or
// whose the platform says, by merchant_id, else its own.
func pathUser(c *gin.Context) (merchantID, userID string, err error) {
	f := models.NewFaults()
	userID, err = url.PathUnescape(c.Param("user_id"))
	if err != nil {
		f.Add("user_id", models.CodeInvalid, "is not escaped properly")
		return "", "", f.Err()
	}
	models.CheckForeign(f, "user_id", userID)
	if err := f.Err(); err != nil {
		return "", "", err
	}
	merchantID, err = ownerOf(middleware.Principal(c), c.Query("merchant_id"))
	return merchantID, userID, err
}

func (a *api) putUser(c *gin.Context) error {
	merchantID, userID, err := pathUser(c)
	if err != nil {
		return err
	}
	var body userBody
	if _, err := bind(c, &body); err != nil {
		return err
	}
	user := models.User{
		MerchantID: merchantID, UserID: userID, Tags: body.Tags, Locale: body.Locale, Email: body.Email, Phone: body.Phone,
		LastActiveAt: body.LastActiveAt,
	}
	user.Normalize()
	f := models.NewFaults()
	user.Check(f)
	if err := f.Err(); err != nil {
		return err
	}
	stored, made, err := a.Store.PutUser(c.Request.Context(), a.operation(c), user)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	return answer(c, status, viewUser(stored))
}

func (a *api) getUser(c *gin.Context) error {
	merchantID, userID, err := pathUser(c)
	if err != nil {
		return err
	}
	user, err := a.Store.User(c.Request.Context(), merchantID, userID)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, viewUser(user))
}

func (a *api) importUsers(c *gin.Context) error {
	merchantID, err := ownerOf(middleware.Principal(c), c.Query("merchant_id"))
	if err != nil {
		return err
	}
	taken, err := a.takeIn(c, issuing.CSV, issuing.NDJSON)
	if err != nil {
		return err
	}
	defer func() { _ = taken.Close() }()
	return once(a, c, taken.digest[:], always[models.LineReport](http.StatusOK), viewLineReport,
		func(ctx context.Context, op models.Op) (models.LineReport, error) {
			return a.Audience.ImportUsers(ctx, op, merchantID, taken.format, taken)
		})
}

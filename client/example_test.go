package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"scrip/client"
)

// A merchant opens a sale of one coupon, ann gets it, and bob is told why he
// does not.
func Example() {
	server := httptest.NewServer(oneCoupon())
	defer server.Close()
	if err := sale(context.Background(), server.URL); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ann has coupon 1
	// bob came too late
}

func sale(ctx context.Context, url string) error {
	c, err := client.New(url, "sk_example")
	if err != nil {
		return err
	}
	rule, err := c.CreateRule(ctx, client.NewRule{
		Name: "5 dollars off", Kind: "amount_off", Effect: client.Effect{AmountOff: 500, Currency: "USD"},
	})
	if err != nil {
		return err
	}
	template, err := c.CreateTemplate(ctx, client.NewTemplate{
		Name: "Opening day", RuleID: rule.ID, Currency: "USD",
		Stock: new(int64(1)), Validity: client.Validity{DaysAfterClaim: new(30)},
	})
	if err != nil {
		return err
	}
	if _, err := c.PublishTemplate(ctx, template.ID); err != nil {
		return err
	}
	for _, user := range []string{"ann", "bob"} {
		coupon, err := c.Claim(ctx, client.Claim{TemplateID: template.ID, UserID: user})
		switch {
		case client.IsCode(err, client.CodeSoldOut):
			fmt.Println(user, "came too late")
		case err != nil:
			return err
		default:
			fmt.Println(user, "has coupon", coupon.IssueNo)
		}
	}
	return nil
}

// oneCoupon stands in for a Scrip server with one coupon to give.
func oneCoupon() http.Handler {
	left := make(chan struct{}, 1)
	left <- struct{}{}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, status int, body string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	mux.HandleFunc("POST /v1/rules", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusCreated, `{"id":"1","version":1}`)
	})
	mux.HandleFunc("POST /v1/templates", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusCreated, `{"id":"2","state":"draft"}`)
	})
	mux.HandleFunc("POST /v1/templates/2/publish", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, `{"id":"2","state":"active"}`)
	})
	mux.HandleFunc("POST /v1/claims", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-left:
			reply(w, http.StatusCreated, `{"id":"3","template_id":"2","issue_no":1}`)
		default:
			reply(w, http.StatusConflict, `{"status":409,"code":"sold_out","detail":"every coupon is claimed"}`)
		}
	})
	return mux
}

// Package discount is the arithmetic of a checkout; so far, the expressions that
// a rule may ask for.
package discount

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Bounds of an expression. Together they bound its work: the language has no
// loops but those over a list of the cart, which are few and never nested.
const (
	MaxExpressionLen   = 1000 // characters
	MaxExpressionNodes = 200  // names, literals, operators and calls
	maxExpressionLoops = 8    // any, all, count, sum …

	// maxExpressionNumber bounds every number an expression handles. It is
	// ten times the largest amount, and so small that the sum of any list of
	// such numbers that a cart can hold still fits 64 bits.
	maxExpressionNumber = 10_000_000_000_000_000
)

// ExpressionEnv is all that the expression of a rule's conditions can see:
// three variables, cart, user and time. Numbers are whole (64 bits), money in
// minor units of cart.currency; what a cart does not name is "" or 0.
//
//	cart.user_id          string  the same as user.id
//	cart.currency         string  ISO 4217
//	cart.merchant_id      string
//	cart.payment_method   string
//	cart.channel          string
//	cart.first_order      bool
//	cart.subtotal         int     Σ quantity × unit_price, before any discount
//	cart.shipping         int
//	cart.quantity         int     units in all
//	cart.lines            list of
//	    .line_id          string
//	    .sku              string
//	    .category_ids     list of string
//	    .merchant_id      string  the line's own, else the cart's
//	    .quantity         int
//	    .unit_price       int
//	    .subtotal         int     quantity × unit_price
//	user.id               string
//	user.tags             list of string
//	time.year             int
//	time.month            int     1 … 12
//	time.day              int     1 … 31
//	time.weekday          int     ISO: 1 Monday … 7 Sunday
//	time.hour             int     0 … 23
//	time.minute           int     0 … 59
//	time.date             string  "2026-11-23"
//	time.clock            string  "08:05"
//
// The time is that of the quote, in the template's time zone.
//
// Operators: == != < <= > >= + - * % and or not && || ! in, contains,
// startsWith, endsWith, ?: and ??. Functions: all any none one filter map
// count sum len abs min max lower upper trim. A number beyond ±10^16 on the
// way, or an index outside a list, makes the condition fail. There are no
// fractions: instead of a / b > 2, write a > 2 * b.
//
//	cart.subtotal >= 5000 and any(cart.lines, "shoes" in .category_ids)
//	"vip" in user.tags or sum(cart.lines, .quantity) > 10
//	time.weekday >= 6 and cart.channel == "app"
type ExpressionEnv struct {
	Cart *ExpressionCart `expr:"cart"`
	User *ExpressionUser `expr:"user"`
	Time *ExpressionTime `expr:"time"`
}

// ExpressionCart is the variable cart.
type ExpressionCart struct {
	UserID        string           `expr:"user_id"`
	Currency      string           `expr:"currency"`
	MerchantID    string           `expr:"merchant_id"`
	PaymentMethod string           `expr:"payment_method"`
	Channel       string           `expr:"channel"`
	FirstOrder    bool             `expr:"first_order"`
	Subtotal      int              `expr:"subtotal"`
	Shipping      int              `expr:"shipping"`
	Quantity      int              `expr:"quantity"`
	Lines         []ExpressionLine `expr:"lines"`
}

// ExpressionLine is one element of cart.lines.
type ExpressionLine struct {
	LineID      string   `expr:"line_id"`
	SKU         string   `expr:"sku"`
	CategoryIDs []string `expr:"category_ids"`
	MerchantID  string   `expr:"merchant_id"`
	Quantity    int      `expr:"quantity"`
	UnitPrice   int      `expr:"unit_price"`
	Subtotal    int      `expr:"subtotal"`
}

// ExpressionUser is the variable user.
type ExpressionUser struct {
	ID   string   `expr:"id"`
	Tags []string `expr:"tags"`
}

// ExpressionTime is the variable time.
type ExpressionTime struct {
	Year    int    `expr:"year"`
	Month   int    `expr:"month"`
	Day     int    `expr:"day"`
	Weekday int    `expr:"weekday"`
	Hour    int    `expr:"hour"`
	Minute  int    `expr:"minute"`
	Date    string `expr:"date"`
	Clock   string `expr:"clock"`
}

// CompileExpression returns nil if text is an expression that a rule may have,
// else an error in words for whoever wrote it. Safe for concurrent use.
func CompileExpression(text string) error {
	_, err := compileExpression(text)
	return err
}

func compileExpression(text string) (program *vm.Program, err error) {
	// Whatever strangers write goes through the library's parser here: a panic
	// in it is an expression that does not compile, not a request that fails.
	defer func() {
		if r := recover(); r != nil {
			program, err = nil, fmt.Errorf("cannot be compiled: %v", r)
		}
	}()
	if !utf8.ValidString(text) {
		return nil, errors.New("must be UTF-8")
	}
	if n := utf8.RuneCountInString(text); n > MaxExpressionLen {
		return nil, fmt.Errorf("must be at most %d characters, not %d", MaxExpressionLen, n)
	}
	if err := checkExpressionTree(text); err != nil {
		return nil, err
	}
	program, err = expr.Compile(text, expressionOptions()...)
	if err != nil {
		return nil, expressionError(err)
	}
	return program, nil
}

// expressionBuiltins are the functions that work in time and space bounded by
// their input, give the same answer always, and make no fractions.
func expressionBuiltins() []string {
	return []string{
		"all", "any", "none", "one", "filter", "map", "count", "sum",
		"len", "abs", "min", "max", "lower", "upper", "trim",
	}
}

func expressionOptions() []expr.Option {
	options := []expr.Option{
		expr.Env(&ExpressionEnv{}),
		expr.AsBool(),
		expr.MaxNodes(MaxExpressionNodes),
		expr.DisableAllBuiltins(),
		// Folded constants would escape the check of what an operator gives.
		expr.Optimize(false),
	}
	for _, name := range expressionBuiltins() {
		options = append(options, expr.EnableBuiltin(name))
	}
	for operator, f := range map[string]func(a, b int) int{
		"+": func(a, b int) int { return a + b },
		"-": func(a, b int) int { return a - b },
		"*": checkedProduct,
	} {
		// No text can name a function that has a space in its name.
		name := "checked " + operator
		options = append(options, expr.Operator(operator, name),
			expr.Function(name, checkedOperator(f), new(func(a, b int) int)))
	}
	return options
}

var errNumberTooLarge = errors.New("a number is too large")

// checkedOperator makes f fail instead of overflowing. Operands within the
// bound cannot overflow + and -; a sum over a list may lie outside, and is
// refused here before it is used.
func checkedOperator(f func(a, b int) int) func(params ...any) (any, error) {
	inside := func(n int) bool { return -maxExpressionNumber <= n && n <= maxExpressionNumber }
	return func(params ...any) (any, error) {
		a, aInt := params[0].(int)
		b, bInt := params[1].(int)
		if !aInt || !bInt || !inside(a) || !inside(b) {
			return nil, errNumberTooLarge
		}
		if c := f(a, b); inside(c) {
			return c, nil
		}
		return nil, errNumberTooLarge
	}
}

// checkedProduct multiplies two numbers within the bound; what would leave it
// comes back as a number outside the bound.
func checkedProduct(a, b int) int {
	if a != 0 && b != 0 && max(a, -a) > maxExpressionNumber/max(b, -b) {
		return maxExpressionNumber + 1
	}
	return a * b
}

// checkExpressionTree refuses what the compiler would take but a rule may not
// have.
func checkExpressionTree(text string) error {
	config := conf.CreateNew()
	config.MaxNodes = MaxExpressionNodes
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return expressionError(err)
	}
	var v expressionVisitor
	ast.Walk(&tree.Node, &v)
	switch {
	case v.fault != "":
		return errors.New(v.fault)
	case v.loops > maxExpressionLoops:
		return fmt.Errorf("must go through lists at most %d times, not %d", maxExpressionLoops, v.loops)
	}
	return nil
}

// expressionVisitor counts loops and keeps the first fault it meets.
type expressionVisitor struct {
	loops int
	fault string
}

// Visit is called for every node, children first.
func (v *expressionVisitor) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode:
		v.refuse(n.Value > maxExpressionNumber, "numbers must be at most 10^16")
	case *ast.FloatNode:
		v.refuse(true, "numbers must be whole")
	case *ast.BinaryNode:
		v.refuseOperator(n.Operator)
	case *ast.IdentifierNode:
		v.refuse(n.Value == "$env", "$env cannot be used")
	case *ast.BuiltinNode:
		// min, max and sum take lists of lists and walk them all; literal lists
		// are bounded by the nodes.
		v.loops++
	case *ast.PredicateNode:
		var inner loopFinder
		ast.Walk(&n.Node, &inner)
		v.refuse(inner.found, "a list cannot be gone through inside another")
	}
}

func (v *expressionVisitor) refuseOperator(operator string) {
	switch operator {
	case "/":
		v.refuse(true, "there is no division: instead of a / b > 2, write a > 2 * b")
	case "..", "**", "^", "matches":
		v.refuse(true, "the operator "+operator+" cannot be used")
	}
}

func (v *expressionVisitor) refuse(bad bool, fault string) {
	if bad && v.fault == "" {
		v.fault = fault
	}
}

// loopFinder looks for a loop anywhere in a tree.
type loopFinder struct{ found bool }

// Visit is called for every node.
func (l *loopFinder) Visit(node *ast.Node) {
	if _, ok := (*node).(*ast.PredicateNode); ok {
		l.found = true
	}
}

// expressionError makes one line of the library's drawing of an error.
func expressionError(err error) error {
	var at *file.Error
	if errors.As(err, &at) {
		return fmt.Errorf("does not compile: %s (line %d, column %d)", at.Message, at.Line, at.Column+1)
	}
	return fmt.Errorf("does not compile: %s", strings.ReplaceAll(err.Error(), "\n", " "))
}

// programs keeps compiled expressions by their text. It holds two generations:
// when the young one is full it becomes the old one, and what the old one held
// and nobody asked for since is gone. Safe for concurrent use.
type programs struct {
	size int // of one generation

	mu         sync.RWMutex
	young, old map[string]compiled
}

// compiled is a program, or why there is none: rules are compiled when they
// are saved, but an expression may outlive a version of the language.
type compiled struct {
	program *vm.Program
	err     error
}

func newPrograms(size int) *programs {
	return &programs{size: max(1, size), young: map[string]compiled{}}
}

// holds evaluates the expression. It does not hold, and the error says why,
// when it does not compile or fails on the way.
func (p *programs) holds(text string, env *ExpressionEnv) (bool, error) {
	c := p.get(text)
	if c.err != nil {
		return false, c.err
	}
	result, err := vm.Run(c.program, env)
	if err != nil {
		return false, expressionError(err)
	}
	yes, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("gave %T, not true or false", result)
	}
	return yes, nil
}

func (p *programs) get(text string) compiled {
	p.mu.RLock()
	c, found := p.young[text]
	p.mu.RUnlock()
	if found {
		return c
	}
	p.mu.Lock()
	c, found = p.old[text]
	p.mu.Unlock()
	if !found {
		// Outside the lock: two callers may compile the same text at once,
		// which costs less than all of them waiting for one.
		c.program, c.err = compileExpression(text)
	}
	p.keep(text, c)
	return c
}

func (p *programs) keep(text string, c compiled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.young) >= p.size {
		p.old, p.young = p.young, make(map[string]compiled, p.size)
	}
	p.young[text] = c
}

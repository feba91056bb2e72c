package mysqlnode

import "strings"

// literal quotes text as an SQL string. Sessions run with an empty sql_mode, so
// that the backslash escapes and both quote signs delimit strings.
func literal(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'':
			b.WriteString(`''`)
		case '\\':
			b.WriteString(`\\`)
		case 0:
			b.WriteString(`\0`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0x1a:
			b.WriteString(`\Z`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// account quotes user and host of an account for a statement.
func account(user, host string) string { return literal(user) + "@" + literal(host) }

// identifier quotes the name of a schema or table.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

-- email: whether the account wants mails of this template; an app that does not know it says no.
-- $1 account  $2 template
SELECT coalesce({port:email_allowed}($1::text, $2::text), false), rowcrew.plan_by_index() FROM rowcrew.plan_as_usual()

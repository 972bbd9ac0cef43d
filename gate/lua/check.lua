-- check.lua: tries out what the other scripts need of a server. Changes nothing.
--
-- KEYS    none
-- ARGV    none
-- Answer  the id of the server's data, "" if it has none that we can read

return server() or ''

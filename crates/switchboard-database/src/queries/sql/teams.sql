-- name: teams.all :many
select name from teams order by name;

-- name: all_notes :many
-- doc: Every note, the oldest first.
select id, text, written_at from notes order by id;

-- name: exported_notes :stream
select id, text, written_at from notes order by id;

-- name: add_note :one
-- param: text varchar(200)
insert into notes (text, written_at) values (:text, current_timestamp)
returning id, text, written_at;

-- name: remove_note :affected
-- param: id integer
delete from notes where id = :id;

-- name: add_user :exec
-- param: id bigint
-- param: name text
insert into users (id, name) values (:id, :name);

-- name: find_user :opt
select id, name from users where id = :id;

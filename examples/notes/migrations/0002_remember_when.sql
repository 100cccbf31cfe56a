alter table notes add column written_at text not null default '1970-01-01 00:00:00';

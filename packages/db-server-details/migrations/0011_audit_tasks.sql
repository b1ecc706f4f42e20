CREATE TABLE "audit_tasks" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" uuid,
	"held_until" timestamp (3) with time zone,
	"step" jsonb
);

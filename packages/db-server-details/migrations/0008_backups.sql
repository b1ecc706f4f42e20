CREATE TABLE "backups" (
	"id" uuid PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"trigger" text NOT NULL,
	"asked_by" uuid,
	"logs" boolean DEFAULT false NOT NULL,
	"name" text NOT NULL,
	"size" bigint,
	"sha256" text,
	"done_bytes" bigint DEFAULT 0 NOT NULL,
	"total_bytes" bigint,
	"rows" bigint,
	"objects" integer,
	"missing_objects" integer,
	"error" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE INDEX "backups_open" ON "backups" USING btree ("created_at") WHERE "backups"."state" in ('waiting', 'running');
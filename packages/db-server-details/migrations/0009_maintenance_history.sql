CREATE TABLE "settings_history" (
	"id" uuid PRIMARY KEY NOT NULL,
	"changed_at" timestamp (3) with time zone NOT NULL,
	"changed_by" uuid,
	"reason" text,
	"restores" uuid,
	"changes" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "storage_samples" (
	"day" date NOT NULL,
	"store" text NOT NULL,
	"bytes" bigint NOT NULL,
	CONSTRAINT "storage_samples_day_store_pk" PRIMARY KEY("day","store")
);
--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "maintenance_since" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "maintenance_message" text;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "maintenance_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "maintenance_by" uuid;
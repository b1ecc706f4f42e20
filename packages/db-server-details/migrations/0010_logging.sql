ALTER TABLE "server_settings" ADD COLUMN "log_level" text;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "log_retention_days" integer DEFAULT 14 NOT NULL;
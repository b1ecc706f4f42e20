ALTER TABLE "channels" ADD COLUMN "message_retention_days" integer;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "system_channel_id" uuid;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "message_retention_days" integer;--> statement-breakpoint
ALTER TABLE "server_settings" ADD CONSTRAINT "server_settings_system_channel_id_channels_id_fk" FOREIGN KEY ("system_channel_id") REFERENCES "public"."channels"("id") ON DELETE set null ON UPDATE no action;
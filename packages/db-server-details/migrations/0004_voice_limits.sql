ALTER TABLE "channels" ADD COLUMN "user_limit" integer;--> statement-breakpoint
ALTER TABLE "channels" ADD COLUMN "audio_bitrate" integer;--> statement-breakpoint
ALTER TABLE "channels" ADD COLUMN "video_limit" integer;--> statement-breakpoint
ALTER TABLE "server_settings" ADD COLUMN "call_retention_days" integer;